"""Show one exam on a web page that a person can rotate and scroll: the stack, the planes and the heart in space."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from plotly.offline import get_plotlyjs
from scipy.ndimage import map_coordinates
from skimage.measure import find_contours, marching_cubes

from planewise.geometry import (
    base_to_apex,
    clip_lines,
    crossing,
    intersection_lines,
    pixels_to_patient,
    plane_from_affine,
)
from planewise.own_exams.cine import cine_of
from planewise.own_exams.view_pictures import Volume, direction_letters, label_distances, view_pictures
from planewise.reports.page_style import DO_NOT_USE, FLAGGED, page_head, scrolling
from planewise.reports.pretext_figures import VIEW_COLOURS
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import structure_colour

#: Side of the shown part of the slices, and of the planes, mm: a heart and its surroundings.
FIELD = 180.0
#: Pixel size of a plane's cut through the stack, mm.
_CUT_SPACING = 1.5
#: Number of flags above the details.
_FLAGS = 5
#: A table's cell counts as a sentence if it is longer than this.
_LONGEST = 24
#: Approximate distance between vertices of a structure's surface, mm.
_MESH_SPACING = 2.0
#: CSS of this page; a phone shows the slice below the 3D view.
_STYLE = """
/* at most as high as the slice, which has two fifths of the width, and so that the numbers fit below it */
#exam { height: min(52vh, 47vw, 680px); min-height: 380px; } #scroll { margin-left: 59%; display: flex; gap: 1em; }
#curve { height: 260px; max-width: 640px; }
@media print { #scroll, #cine p, summary { display: none; } }
@media (max-width: 700px) { #exam { height: 180vw; } #scroll { margin-left: 0; flex-wrap: wrap; }
  /* a table of numbers fits a phone's width */
  body { padding: .8em .5em; } table:not(:has(.text)) :is(th, td) { padding: .25em .2em; font-size: .75em; }
  table:not(:has(.text)) td.flagged { white-space: normal; } }
#slice { flex: 1; min-width: 6em; } #which { white-space: nowrap; }
#cine svg { width: 100%; max-width: 960px; background: #000; }
#cine input { vertical-align: middle; width: 14em; max-width: 50%; }
.pictures { display: flex; flex-wrap: wrap; gap: .8em; max-width: 960px; }
figure { margin: .4em 0; flex: 1 1 330px; max-width: 474px; } figure svg { width: 100%; display: block; background: #000; }
/* Plotly's own pictures have no figure element */
figure path, #cine path { fill: none; stroke-width: 1.2px; vector-effect: non-scaling-stroke; }
figure text, #cine text { fill: #fff; stroke: #000; stroke-width: .25em; paint-order: stroke;
  text-anchor: middle; dominant-baseline: middle; }
figure text { font-size: 7px; } .flagged { color: var(--flag); } td.flagged:not(.text) { white-space: nowrap; }
ul.flags { list-style: none; padding: 0; margin: .4em 0; }
"""
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
    the stack's image in each planned plane, and the surfaces of the structures. The right side shows the slice with the
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
        "planes": [_frame(plane, levels, affines, middle) for plane in planes],
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
    notes = [f'<p class="note">{html.escape(note)}</p>' for note in exam.notes]
    here = Path(__file__)
    return Template(here.with_suffix(".html").read_text()).substitute(
        head=page_head(f"Exam {exam.name}", _STYLE),
        title=html.escape(f"Exam {exam.name}"),
        note=html.escape(RESEARCH_ONLY),
        views=_view_pictures(exam, image, affines, labels),
        tables="\n".join([*(_table(*table) for table in exam.tables), _flags(exam)]),
        details="\n".join(
            [
                *(f"<p>{html.escape(flag)}.</p>" for flag in exam.flags[_FLAGS:]),
                *(_table(*table) for table in exam.folded),
                *notes,
            ]
        ),
        version=version("plotly"),
        plotly=_plotly(),
        # a name must not end the script or begin a comment in it
        exam=json.dumps(content, allow_nan=False).replace("<", "\\u003c"),
        script=here.with_suffix(".js").read_text(),
    )


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


def _frame(plane: ShownPlane, levels: np.ndarray, affines: torch.Tensor, middle: torch.Tensor) -> dict[str, Any]:
    """The square of a plane around the organ and, for a planned plane, the stack resampled in this square."""
    origin = middle - (middle - plane.origin) @ plane.normal * plane.normal
    # the upward direction follows the stack from slice to slice, as closely as the plane allows
    along = torch.linalg.cross(affines[0, :3, 0], affines[0, :3, 1])
    along = along - along @ plane.normal * plane.normal
    if along.norm() < 1e-3 * affines[0, :3, 0].norm() * affines[0, :3, 1].norm():
        along = affines[0, :3, 0] - affines[0, :3, 0] @ plane.normal * plane.normal
    along = along / along.norm()
    across = torch.linalg.cross(plane.normal, along)
    half = FIELD / 2
    corners = [origin + half * (a * across + b * along) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    drawn = {
        "name": plane.name,
        "colour": plane.colour,
        "dash": plane.dash,
        "corners": [[round(value, 2) for value in corner.tolist()] for corner in corners],
    }
    if plane.planned and levels.shape[2] > 1:
        drawn["cut"] = _cut(levels, affines, origin, across, along)
    return drawn


def _cut(
    levels: np.ndarray, affines: torch.Tensor, origin: torch.Tensor, across: torch.Tensor, along: torch.Tensor
) -> dict[str, Any]:
    """The stack in a plane, between its first and its last slice: linear between slices, which may be unevenly spaced."""
    stack = _even_grid(affines)
    count = int(FIELD / _CUT_SPACING) + 1
    cut = torch.eye(4, dtype=torch.float64)
    cut[:3, 0], cut[:3, 1] = across * _CUT_SPACING, along * _CUT_SPACING
    cut[:3, 3] = origin - (count - 1) / 2 * (cut[:3, 0] + cut[:3, 1])
    grid = torch.stack(torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij"), dim=-1).to(
        torch.float64
    )
    voxels = (pixels_to_patient(grid, cut) - stack[:3, 3]) @ torch.linalg.inv(stack[:3, :3]).T
    inside = ((voxels >= -0.5) & (voxels <= torch.tensor(levels.shape) - 0.5)).all(dim=-1)
    if not inside.any():
        return {**_pixels(np.zeros((1, 1), np.uint8), cut)}
    # areas outside the stack are left out, row by row and column by column
    rows, columns = (torch.nonzero(inside.any(dim=axis)).ravel() for axis in (1, 0))
    part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    cut[:3, 3] += cut[:3, 0] * int(rows[0]) + cut[:3, 1] * int(columns[0])
    sampled = map_coordinates(
        levels.astype(np.float32), voxels[part].permute(2, 0, 1).numpy(), order=1, mode="constant", cval=0
    )
    return _pixels(sampled.round().astype(np.uint8), cut)


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


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # a column of sentences is aligned to the left and keeps a minimum width
    wordy = [any(len(str(row[number])) > _LONGEST for row in rows) for number in range(len(header))]

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = [_class(cell, words) for cell, words in zip(cells, wordy, strict=True)]
        if tag == "td" and any(wordy):
            # a phone shows the cells one below another, each with its column's name
            marks = [f'{mark} data-column="{html.escape(name)}"' for mark, name in zip(marks, header, strict=True)]
        cells = [html.escape(str(cell)) for cell in cells]
        return (
            "<tr>" + "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True)) + "</tr>"
        )

    body = "".join(line("td", row) for row in rows)
    table = f"<table><caption>{html.escape(title)}</caption>{line('th', header)}{body}</table>"
    return scrolling(table, title, " listed" if any(wordy) else "")


def _class(cell: str, words: bool) -> str:
    names = ["text"] * words + ["flagged"] * str(cell).endswith(FLAGGED)
    return f' class="{" ".join(names)}"' if names else ""


def _flags(exam: ShownExam) -> str:
    """What a mark means, and the first flags; the others are under Details."""
    marked = any(str(cell).endswith(FLAGGED) for _, _, rows in exam.tables for row in rows for cell in row)
    lines = [f"{FLAGGED}: {DO_NOT_USE}"] * marked + [*exam.flags[:_FLAGS]]
    lines += [f"{len(exam.flags) - _FLAGS} more under Details"] * (len(exam.flags) > _FLAGS)
    entries = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="flags" aria-label="what to check">{entries}</ul>' if entries else ""
