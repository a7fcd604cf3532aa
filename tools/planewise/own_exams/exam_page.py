"""Show one exam on a web page that a person can rotate and scroll: the stack, the planes and the heart in space."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from skimage.measure import find_contours, marching_cubes

from planewise.geometry import (
    base_to_apex,
    clip_lines,
    crossing,
    intersection_lines,
    pixels_to_patient,
    plane_from_affine,
    square_on_plane,
)
from planewise.own_exams.cine import cine_of
from planewise.own_exams.view_pictures import Volume, direction_letters, label_distances, view_pictures
from planewise.reports.page_style import DO_NOT_USE, FLAGGED, page_head
from planewise.reports.pretext_figures import VIEW_COLOURS
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import structure_colour

#: Side of the shown part of the slices, and of the planes, mm: a heart and its surroundings.
FIELD = 180.0
#: Number of flags above the details.
_FLAGS = 5
#: A table's cell counts as a sentence if it is longer than this.
_LONGEST = 24
#: Approximate distance between vertices of a structure's surface, mm.
_MESH_SPACING = 2.0
#: Opacity of surfaces that contain others.
_OPACITY = {"myocardium": 0.25}


@dataclass
class ShownExam:
    """The content of an exam's page.

    Attributes:
        name: the exam's hash.
        image: the stack, ``(i, j, slices)``.
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.
        plan: plan from `planewise.evaluation.PlanViewsd`; None shows no planned planes.
        acquired: maps each acquired view to the ``origin`` and ``normal`` of its plane, RAS+, mm.
        labels: a label map on the image's grid, ``(i, j, slices)``.
        structures: label value to name.
        tables: title, header and rows of text; an implausible number ends with `FLAGGED`.
        folded: further tables, under Details.
        flags: sentences without a full stop about what is wrong.
        notes: sentences under Details that explain the columns; the last one names the weights.
        curves: maps each structure to its volume in every phase, ml; drawn if there are two phases or more.
        moments: name of each phase of the curves, as in the files' names; empty numbers them from 1.
        corrected: numbers of the phases whose volumes come from a corrected mask; the curves mark them.
        images: maps each acquired view to its image ``(i, j)`` and its affine; shown next to the planned planes.
        phases: name, image and label map of each phase, like `image` and `labels`; played as a cine.
    """

    name: str
    image: np.ndarray
    affines: torch.Tensor
    plan: Mapping[str, Any] | None = None
    acquired: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    labels: np.ndarray | None = None
    structures: Mapping[int, str] = field(default_factory=dict)
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = ()
    folded: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = ()
    flags: Sequence[str] = ()
    notes: Sequence[str] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    moments: Sequence[str] = ()
    corrected: Sequence[int] = ()
    images: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    phases: Sequence[tuple[str, np.ndarray, np.ndarray]] = ()


@dataclass
class ShownPlane:
    """A plane, and the style in which it is drawn."""

    name: str
    origin: torch.Tensor
    normal: torch.Tensor
    colour: str
    planned: bool

    @property
    def dash(self) -> str:
        return "solid" if self.planned else "dash"


def exam_page(exam: ShownExam) -> str:
    """The page as HTML that works without a network connection and without any other file.

    The pictures come first. The left side shows patient space (RAS+, mm): a slice, the planned and the acquired planes,
    and the surfaces of the structures. The right side shows the slice with the
    lines of the planes and the outlines of the structures. The page contains Plotly, which draws both sides. Below stand
    the tables, the first flags, and everything else under Details.
    """
    planes = shown_planes(exam)
    part, affines = field_around(exam, planes)
    image, labels = exam.image[part], None if exam.labels is None else exam.labels[part]
    middle = pixels_to_patient((torch.tensor(image.shape[:2], dtype=torch.float64) - 1) / 2, affines).mean(dim=0)
    low, high = np.percentile(image, (0.5, 99.5))
    levels = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
    content = {
        "slices": [_slice(exam, planes, levels, affines, labels, number) for number in range(levels.shape[2])],
        "spacing": affines[0, :3, :2].norm(dim=0).tolist(),
        "planes": [_frame(plane, middle) for plane in planes],
        "meshes": [] if labels is None else _meshes(labels, affines, exam.structures),
        "start": levels.shape[2] // 2,
        "ends": _ends(exam),
        "curves": [
            {"name": name, "colour": _colour_of(exam, name), "ml": [round(float(value), 1) for value in values]}
            for name, values in exam.curves.items()
            if len(values) > 1 and np.isfinite(values).all()
        ],
        "moments": list(exam.moments),
        "corrected": list(exam.corrected),
        "cine": cine_of(exam.phases, exam.affines[0, :3, :2].norm(dim=0).tolist(), exam.structures),
        # from the left, the front and above, as hearts are drawn
        "eye": {"x": -0.9, "y": 1.05, "z": 0.5},
    }
    marked = any(str(cell).endswith(FLAGGED) for _, _, rows in exam.tables for row in rows for cell in row)
    flags = [f"{FLAGGED}: {DO_NOT_USE}"] * marked + [*exam.flags[:_FLAGS]]
    flags += [f"{len(exam.flags) - _FLAGS} more under Details"] * (len(exam.flags) > _FLAGS)
    return filled(
        "exam_page.html",
        f"Exam {exam.name}",
        shown=exam,
        flags=flags,
        most=_FLAGS,
        wordy=_wordy,
        views=Markup(_view_pictures(exam, image, affines, labels)),
        version=version("plotly"),
        plotly=_plotly(),
        # a name must not end the script or begin a comment in it
        exam=Markup(json.dumps(content, allow_nan=False).replace("<", "\\u003c")),
        script=Markup(Path(__file__).with_suffix(".js").read_text()),
    )


def filled(template: str, title: str, **content: Any) -> str:
    """A page as HTML, from a template in this folder and its content, in which every text is escaped."""
    pages = Environment(loader=PackageLoader("planewise.own_exams", "."), autoescape=True, undefined=StrictUndefined)
    return pages.get_template(template).render(head=Markup(page_head(title)), research_only=RESEARCH_ONLY, **content)


def _wordy(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Whether each column of a table has a sentence."""
    return [any(len(str(row[number])) > _LONGEST for row in rows) for number in range(len(header))]


@cache
def _plotly() -> str:
    """The code of Plotly, compressed, as text; every page has the same."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _view_pictures(exam: ShownExam, image: np.ndarray, affines: torch.Tensor, labels: np.ndarray | None) -> str:
    """The acquired images and, next to them, the stack in the planned planes."""
    planned = {} if exam.plan is None else exam.plan["views"]
    planes = {view: entry for view, entry in planned.items() if entry["origin"] is not None}
    images = {view: shown for view, shown in exam.images.items() if view in (planned or exam.images)}
    return view_pictures(Volume(image, _even_grid(affines).numpy()), labels, exam.structures, planes, images, FIELD)


def _even_grid(affines: torch.Tensor) -> torch.Tensor:
    """The affine of an evenly spaced stack with the same first and last slice."""
    stack = affines[0].clone()
    if len(affines) > 1:
        stack[:3, 2] = (affines[-1, :3, 3] - affines[0, :3, 3]) / (len(affines) - 1)
    return stack


def _ends(exam: ShownExam) -> list[str]:
    """Names of the stack's first and last slice. The plan determines which end is the base; without a plan, the
    direction of the slices does. Both names are empty if the base is unknown.
    """
    if exam.plan is None:
        normal = plane_from_affine(exam.affines[0])[1].to(torch.float64)
        located = (exam.affines[[0, -1], :3, 3].to(torch.float64) @ base_to_apex(normal)).tolist()
    else:
        located = exam.plan.get("locations") or [0.0, 0.0]
    if located[0] < located[-1]:
        return ["base", "apex"]
    return ["apex", "base"] if located[0] > located[-1] else ["", ""]


def _colour_of(exam: ShownExam, structure: str) -> str:
    value = next((value for value, name in exam.structures.items() if name == structure), 0)
    return structure_colour(value)


def shown_planes(exam: ShownExam) -> list[ShownPlane]:
    """The planned planes of an exam, and the acquired ones of the same views, each with its colour."""
    planned = {} if exam.plan is None else exam.plan["views"]
    # an exam may have many views; next to planned planes, only the views that were planned are shown
    acquired = {view: entry for view, entry in exam.acquired.items() if view in (planned or exam.acquired)}
    colours = dict(zip(dict.fromkeys([*planned, *acquired]), cycle(VIEW_COLOURS), strict=False))
    shown = [
        _plane(f"{view} planned", entry, colours[view], True)
        for view, entry in planned.items()
        if entry["origin"] is not None
    ]
    return shown + [_plane(f"{view} acquired", entry, colours[view], False) for view, entry in acquired.items()]


def _plane(name: str, entry: Mapping[str, Any], colour: str, planned: bool) -> ShownPlane:
    origin, normal = (torch.tensor(entry[key], dtype=torch.float64) for key in ("origin", "normal"))
    return ShownPlane(name, origin, normal / normal.norm(), colour, planned)


def _centre(exam: ShownExam, planes: Sequence[ShownPlane]) -> np.ndarray:
    """The organ's position on the slices, pixels: the structures' middle, the intersection of two planes, or the
    image's middle.
    """
    size = np.array(exam.image.shape[:2])
    if exam.labels is not None and exam.labels.any():
        return np.array([axis.mean() for axis in np.nonzero(exam.labels)[:2]])
    if len(planes) > 1:
        lines = [intersection_lines(exam.affines, plane.origin, plane.normal) for plane in planes[:2]]
        met = crossing(lines[0], lines[1]).numpy()
        met = met[np.isfinite(met).all(axis=1)]
        if len(met) and ((met >= 0) & (met < size)).all():
            return np.median(met, axis=0)
    return (size - 1) / 2


def field_around(exam: ShownExam, planes: Sequence[ShownPlane]) -> tuple[tuple[slice, slice], torch.Tensor]:
    """The part of the slices that a square of `FIELD` around the organ covers, and the affines of this part."""
    centre = _centre(exam, planes)
    spacing = exam.affines[0, :3, :2].norm(dim=0).numpy()
    first = np.maximum(np.round(centre - FIELD / 2 / spacing).astype(int), 0)
    last = np.minimum(np.round(centre + FIELD / 2 / spacing).astype(int) + 1, exam.image.shape[:2])
    affines = exam.affines.to(torch.float64).clone()
    affines[:, :3, 3] += affines[:, :3, :2] @ torch.from_numpy(first).to(torch.float64)
    return (slice(first[0], last[0]), slice(first[1], last[1])), affines


def _slice(
    exam: ShownExam,
    planes: Sequence[ShownPlane],
    levels: np.ndarray,
    affines: torch.Tensor,
    labels: np.ndarray | None,
    number: int,
) -> dict[str, Any]:
    """A slice's pixels and position, its name, and the lines on it in mm from the corner of the picture."""
    name = f"slice {number + 1} of {levels.shape[2]}"
    if exam.plan is not None and "locations" in exam.plan:
        name += f", location {exam.plan['locations'][number]:.2f}"
    spacing = affines[number, :3, :2].norm(dim=0).numpy()
    marks = []
    for plane in planes:
        line = intersection_lines(affines[number], plane.origin, plane.normal)
        ends = clip_lines(line, levels.shape[:2]).numpy() * spacing
        marks.append(_mark(plane.name, plane.colour, plane.dash, ends))
    for value, structure in exam.structures.items() if labels is not None else ():
        # a border of background, so that an outline that leaves the picture is closed
        outlines = find_contours(np.pad(labels[..., number] == value, 1).astype(float), 0.5)
        # NaN separates the outlines
        points = [part for outline in outlines for part in ((outline - 1) * spacing, np.full((1, 2), np.nan))]
        marks.append(_mark(structure, structure_colour(value), "solid", np.concatenate(points or [np.zeros((0, 2))])))
    right, down = affines[number, :3, 0].numpy(), affines[number, :3, 1].numpy()
    edges = [direction_letters(direction) for direction in (-right, right, -down, down)]
    return {**_pixels(levels[..., number], affines[number]), "name": name, "marks": marks, "edges": edges}


def _mark(name: str, colour: str, dash: str, points: np.ndarray) -> dict[str, Any]:
    x, y = ([None if np.isnan(value) else round(float(value), 2) for value in points[:, axis]] for axis in (0, 1))
    return {"name": name, "colour": colour, "dash": dash, "x": x, "y": y}


def _pixels(levels: np.ndarray, affine: torch.Tensor) -> dict[str, Any]:
    """A picture ``(i, j)`` of grey levels and its affine, for the page."""
    return {"pixels": _text(levels.T), "shape": list(levels.shape), "affine": affine[:3].tolist()}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _frame(plane: ShownPlane, middle: torch.Tensor) -> dict[str, Any]:
    """The square of a plane around the organ."""
    origin = middle - (middle - plane.origin) @ plane.normal * plane.normal
    corners = square_on_plane(origin, plane.normal, FIELD)[:4]
    return {
        "name": plane.name,
        "colour": plane.colour,
        "dash": plane.dash,
        "corners": corners.round(decimals=2).tolist(),
    }


def _meshes(labels: np.ndarray, affines: torch.Tensor, structures: Mapping[int, str]) -> list[dict[str, Any]]:
    """The surfaces of the structures in patient space."""
    spacing = float(affines[0, :3, 0].norm())
    step = max(round(_MESH_SPACING / spacing), 1)
    origins = affines[:, :3, 3].numpy()
    between = (origins[-1] - origins[0]) / max(len(origins) - 1, 1) if len(origins) > 1 else affines[0, :3, 2].numpy()
    meshes = []
    for value, name in structures.items():
        mask = labels[::step, ::step] == value
        if mask.sum() < 8:
            continue
        distances = label_distances(mask)
        vertices, faces, _, _ = marching_cubes(distances, 0.0)
        # one slice and one pixel were added at each end
        i, j, number = (vertices - 1).T
        places = np.stack([_at(origins[:, axis], between[axis], number) for axis in range(3)], axis=1)
        axes = affines[0, :3, :2].numpy() * step
        points = places + i[:, None] * axes[:, 0] + j[:, None] * axes[:, 1]
        meshes.append(
            {
                "name": name,
                "colour": structure_colour(value),
                "opacity": _OPACITY.get(name, 0.45),
                "vertices": _text(points.astype("<f4")),
                "faces": _text(faces.astype("<u4")),
            }
        )
    return meshes


def _at(values: np.ndarray, step: float, number: np.ndarray) -> np.ndarray:
    """Interpolate a coordinate of the slices' origins at fractional indices; extrapolate beyond the ends in even steps."""
    inside = np.interp(number, np.arange(len(values)), values)
    return inside + step * (np.minimum(number, 0) + np.maximum(number - (len(values) - 1), 0))
