"""Show one exam on a web page that a person can rotate and scroll: the stack and the planes in space, and each slice."""

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
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from skimage.measure import find_contours

from planewise.files.atomic_write import atomic_write
from planewise.geometry import (
    base_to_apex,
    clip_lines,
    intersection_lines,
    pixels_to_patient,
    plane_from_affine,
    square_on_plane,
)
from planewise.own_exams.heart_stacks import LoadedStack
from planewise.reports.page_style import DO_NOT_USE, FLAGGED, page_head
from planewise.reports.pretext_figures import VIEW_COLOURS
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import structure_colour
from planewise.words import as_sentence

#: Name of the page of an exam or an archive, in its folder.
PAGE = "index.html"
#: Side of the shown part of the slices, and of the planes, mm: a heart and its surroundings.
FIELD = 180.0
#: The acquired views that are shown if none is planned.
_VIEWS = ("2ch", "4ch")
#: The name of a direction contains a body axis if its component along this axis is at least the sine of 22.5 degrees.
_OBLIQUE = 0.38
#: A table's cell counts as a sentence if it is longer than this.
_LONGEST = 24

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


@dataclass
class ShownExam:
    """The content of an exam's page."""

    stack: LoadedStack
    """the stack, with the acquired views; its name is the exam's hash"""
    tables: Sequence[Table] = ()
    """title, header and rows of text; an implausible number ends with `FLAGGED`"""
    plan: Mapping[str, Any] | None = None
    """plan from `planewise.evaluation.PlanViewsd`; None shows no planned planes"""
    labels: np.ndarray | None = None
    """a label map on the image's grid, ``(i, j, slices)``"""
    structures: Mapping[int, str] = field(default_factory=dict)
    """label value to name"""
    flags: Sequence[str] = ()
    """sentences without a full stop about what is wrong"""
    terms: Sequence[str] = ()
    """sentences under Details that explain the columns"""
    remarks: Sequence[str] = ()
    """sentences without a full stop, under Details"""
    note: str = ""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """maps each structure to its volume in every phase, ml; drawn if there are two phases or more"""
    moments: Sequence[str] = ()
    """name of each phase of the curves, as in the files' names; empty numbers them from 1"""
    corrected: Sequence[int] = ()
    """numbers of the phases whose volumes come from a corrected mask; the curves mark them"""

    @property
    def lines(self) -> list[str]:
        """What the terminal says about the exam; cells with a dash are left out."""
        lines = []
        for number, (title, header, rows) in enumerate(self.tables):
            lines.append(f"  {title}:" if number else f"Exam {self.stack.name}, {title}")
            for name, *cells in rows:
                told = [f"{head} {cell}" for head, cell in zip(header[1:], cells, strict=True) if cell != "-"]
                lines.append(f"{'  ' * (2 if number else 1)}{name}: {', '.join(told)}")
        lines += [f"  {line}" for line in (*self.remarks, *(f"check: {flag}" for flag in self.flags))]
        return lines + [f"  {FLAGGED}: {DO_NOT_USE}"] * any(FLAGGED in line for line in lines)


class ShownPlane(NamedTuple):
    """A plane, and how it is drawn: solid if it was planned, dashed if it was acquired."""

    name: str
    colour: str
    dash: str
    origin: torch.Tensor
    normal: torch.Tensor


def write_page(folder: Path, shown: ShownExam) -> Path:
    """Write `PAGE` of an exam."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / PAGE) as part:
        part.write_text(exam_page(shown), encoding="utf-8")
    return folder / PAGE


def exam_page(exam: ShownExam) -> str:
    """The page as HTML that works without a network connection and without any other file.

    The pictures come first. The left side shows patient space (RAS+, mm): a slice, and the planned and the acquired
    planes. The right side shows the slice with the lines of the planes and the outlines of the
    structures. The page contains Plotly, which draws both sides. Below stand the tables, the flags, and everything else under
    Details.
    """
    planned = {} if exam.plan is None else exam.plan["views"]
    planes = _planes(exam, planned)
    part, affines = _field_around(exam)
    image, labels = exam.stack.image.numpy()[part], None if exam.labels is None else exam.labels[part]
    middle = pixels_to_patient((torch.tensor(image.shape[:2], dtype=torch.float64) - 1) / 2, affines).mean(dim=0)
    levels = grey_levels(image)
    spacing = affines[0, :3, :2].norm(dim=0).tolist()
    colours = {name: structure_colour(value) for value, name in exam.structures.items()}
    content = {
        "slices": [_slice(exam, planes, levels, affines, labels, number) for number in range(levels.shape[2])],
        "spacing": spacing,
        "planes": [_frame(plane, middle) for plane in planes],
        "start": levels.shape[2] // 2,
        "ends": _ends(exam),
        "curves": [
            {"name": name, "colour": colours.get(name), "ml": [round(float(value), 1) for value in values]}
            for name, values in exam.curves.items()
            if len(values) > 1 and np.isfinite(values).all()
        ],
        "moments": list(exam.moments),
        "corrected": list(exam.corrected),
        # from the left, the front and above, as hearts are drawn
        "eye": {"x": -0.9, "y": 1.05, "z": 0.5},
    }
    marked = any(str(cell).endswith(FLAGGED) for _, _, rows in exam.tables for row in rows for cell in row)
    return filled(
        "exam_page.html",
        f"Exam {exam.stack.name}",
        shown=exam,
        flags=[f"{FLAGGED}: {DO_NOT_USE}"] * marked + [*exam.flags],
        # whether each column of a table has a sentence
        wordy=lambda rows: [any(len(cell) > _LONGEST for cell in column) for column in zip(*rows, strict=True)],
        as_sentence=as_sentence,
        version=version("plotly"),
        plotly=_plotly(),
        # a name must not end the script or begin a comment in it
        exam=Markup(json.dumps(content, allow_nan=False).replace("<", "\\u003c")),
        script=Markup(Path(__file__).with_suffix(".js").read_text()),
    )


@cache
def _pages() -> Environment:
    return Environment(loader=PackageLoader("planewise.own_exams", "."), autoescape=True, undefined=StrictUndefined)


def filled(template: str, title: str, **content: Any) -> str:
    """A page as HTML, from a template in this folder and its content, in which every text is escaped."""
    head = Markup(page_head(title))
    return _pages().get_template(template).render(head=head, research_only=RESEARCH_ONLY, **content)


@cache
def _plotly() -> str:
    """The code of Plotly, compressed, as text; every page has the same."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 4, mtime=0)).decode()


def _ends(exam: ShownExam) -> list[str]:
    """Names of the stack's first and last slice. The plan determines which end is the base; without a plan, the
    direction of the slices does. Both names are empty if the base is unknown."""
    if exam.plan is None:
        normal = plane_from_affine(exam.stack.affines[0])[1].to(torch.float64)
        located = (exam.stack.affines[[0, -1], :3, 3].to(torch.float64) @ base_to_apex(normal)).tolist()
    else:
        located = exam.plan.get("locations") or [0.0, 0.0]
    if located[0] < located[-1]:
        return ["base", "apex"]
    return ["apex", "base"] if located[0] > located[-1] else ["", ""]


def _planes(exam: ShownExam, planned: Mapping[str, Any]) -> list[ShownPlane]:
    """The planned planes of an exam, and the acquired ones of the same views, each with its colour."""
    # an exam may have many views
    acquired = {view: entry for view, entry in exam.stack.acquired.items() if view in (planned or _VIEWS)}
    colours = dict(zip(dict.fromkeys([*planned, *acquired]), cycle(VIEW_COLOURS), strict=False))
    shown = []
    for kind, dash, views in (("planned", "solid", planned), ("acquired", "dash", acquired)):
        for view, entry in views.items():
            if entry["origin"] is not None:
                origin, normal = (torch.tensor(entry[key], dtype=torch.float64) for key in ("origin", "normal"))
                shown.append(ShownPlane(f"{view} {kind}", colours[view], dash, origin, normal / normal.norm()))
    return shown


def _field_around(exam: ShownExam) -> tuple[tuple[slice, slice], torch.Tensor]:
    """The part of the slices that a square of `FIELD` around the structures covers, or around the image's middle, and the
    affines of this part."""
    size = np.array(exam.stack.image.shape[:2])
    centre = (size - 1) / 2
    if exam.labels is not None and exam.labels.any():
        centre = np.array([axis.mean() for axis in np.nonzero(exam.labels)[:2]])
    spacing = exam.stack.affines[0, :3, :2].norm(dim=0).numpy()
    first = np.maximum(np.round(centre - FIELD / 2 / spacing).astype(int), 0)
    last = np.minimum(np.round(centre + FIELD / 2 / spacing).astype(int) + 1, size)
    affines = exam.stack.affines.to(torch.float64).clone()
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
    pixels, affine = levels[..., number], affines[number]
    spacing = affine[:3, :2].norm(dim=0).numpy()
    marks = []
    for plane in planes:
        line = intersection_lines(affine, plane.origin, plane.normal)
        marks.append(_mark(*plane[:3], clip_lines(line, pixels.shape).numpy() * spacing))
    for value, structure in exam.structures.items() if labels is not None else ():
        # a border of background, so that an outline that leaves the picture is closed
        outlines = find_contours(np.pad(labels[..., number] == value, 1).astype(float), 0.5)
        # NaN separates the outlines
        points = [part for outline in outlines for part in ((outline - 1) * spacing, np.full((1, 2), np.nan))]
        marks.append(_mark(structure, structure_colour(value), "solid", np.concatenate(points or [np.zeros((0, 2))])))
    right, down = affine[:3, 0].numpy(), affine[:3, 1].numpy()
    return {
        "pixels": _text(pixels.T),
        "shape": list(pixels.shape),
        "affine": affine[:3].tolist(),
        "name": name,
        "marks": marks,
        "edges": [direction_letters(direction) for direction in (-right, right, -down, down)],
    }


def _mark(name: str, colour: str, dash: str, points: np.ndarray) -> dict[str, Any]:
    x, y = ([None if np.isnan(value) else round(float(value), 2) for value in points[:, axis]] for axis in (0, 1))
    return {"name": name, "colour": colour, "dash": dash, "x": x, "y": y}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _frame(plane: ShownPlane, middle: torch.Tensor) -> dict[str, Any]:
    """The square of a plane around the organ."""
    origin = middle - (middle - plane.origin) @ plane.normal * plane.normal
    corners = square_on_plane(origin, plane.normal, FIELD)[:4].round(decimals=2).tolist()
    return {"name": plane.name, "colour": plane.colour, "dash": plane.dash, "corners": corners}


def grey_levels(image: np.ndarray) -> np.ndarray:
    """An image as uint8; all but the darkest and the brightest half per cent of the values lie between black and white."""
    low, high = np.percentile(image, (0.5, 99.5)) if image.size else (0.0, 1.0)
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)


def direction_letters(direction: Sequence[float]) -> str:
    """The letters that viewers write on the edge of an image for a direction, RAS+: ``"A"``, or ``"AL"`` if it is oblique. R
    and L are the patient's right and left, A and P front and back, H and F head and feet."""
    shares = np.asarray(direction, dtype=float) / max(float(np.linalg.norm(direction)), 1e-12)
    axes = [axis for axis in np.argsort(-abs(shares))[:2] if abs(shares[axis]) > _OBLIQUE]
    return "".join("RAH"[axis] if shares[axis] > 0 else "LPF"[axis] for axis in axes)
