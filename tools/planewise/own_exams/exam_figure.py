"""Draw an indexed exam, so that one can see how its planes cut each other, as in Zhang 2024 Figs. 2 to 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from planewise.data import cycle_fraction, expand_volumes, load_datalist, read_datalist
from planewise.errors import InputError
from planewise.exams.anatomies import Look, anatomy_of_stack
from planewise.files.datalists import SECTIONS
from planewise.files.masks import HEART_STRUCTURES
from planewise.findings import from_record, said
from planewise.geometry import clip_lines, intersection_lines, plane_from_affine
from planewise.preprocessing import LoadPhotographd, LoadSliced, LoadVolumed
from planewise.preprocessing.resample import evenly_spaced
from planewise.reports.pretext_figures import VIEW_COLOURS
from planewise.reports.slices import STRUCTURE_COLOURS, add_legend, picture_grid, show_slice
from planewise.words import count_of

#: Colour of lines that stand for no view.
_INK = "#e8e8e8"
#: Largest number of an exam's volumes, and of other views that are drawn.
_MOST_VOLUMES, _MOST_VIEWS = 4, 3

# a picture needs no spacing, so any field of view will do for arrays without geometry
_load = LoadSliced(keys=("image", "label"), allow_missing_keys=True, field_without_spacing=160.0)


@dataclass(frozen=True)
class Shown:
    """A picture ``(i, j)`` or ``(i, j, 3)``, its title, the label map that is outlined on it, and lines on it: the ends
    ``(2, 2)``, pixels, and the colour of each."""

    picture: np.ndarray
    title: str
    mask: np.ndarray | None = None
    lines: Sequence[tuple[np.ndarray, Any]] = ()


Rows = list[list[Shown]]


def exam_figure(path: str | Path, exam: str | None = None, slices: int = 5) -> tuple[Figure, str]:
    """Draw an exam of a datalist: slices with the lines of the other views, and the other views with the lines of the
    stack.

    Args:
        path: path of the datalist.
        exam: the hash of an exam, or its beginning; by default, the first exam with the largest number of views (its
            stack counts as a view).
        slices: number of slices of the stack to show, from its first to its last.

    Returns:
        The figure, and the exam's hash.

    Raises:
        InputError: there is no such exam, or it has nothing to draw.
    """
    content = read_datalist(path)
    items = [item for section in SECTIONS for item in load_datalist(path, section)]
    name = _chosen(content, items, exam)
    own = [item for item in items if item.get("exam") == name]
    listed, header = content.get("exams", {}).get(name, {}), content.get("planewise", {})
    if not own:
        reasons = said(map(from_record, listed.get("left_out", []))) or "no reason is given"
        raise InputError(f"exam {name} has no images in the datalist to draw: {reasons}")
    kind, colours = header.get("stack"), {}
    if any("affine" in item for item in own):
        colours = dict(zip(header.get("views", []), cycle(VIEW_COLOURS), strict=False))
        rows, more = _of_planes(own, listed, kind or "sax", colours, Path(path).expanduser().resolve().parent, slices)
    elif kind == "volume":
        rows, more = _of_case(own[0], header.get("channels", []), slices)
    elif kind == "photograph":
        picture = LoadPhotographd("image")(own[0])["image"].numpy().transpose(1, 2, 0)
        rows, more = [[Shown(picture, "")]], f"grade {own[0]['grade']}" if "grade" in own[0] else "no grade"
    else:
        rows, more = _of_volumes(own, slices), ""
    return _grid_figure(f"exam {name}    {more}".rstrip(), rows, HEART_STRUCTURES.get(kind, {}), colours), name


def _chosen(content: Mapping[str, Any], items: Sequence[Mapping], exam: str | None) -> str:
    """The full hash of the requested exam, for `exam_figure`."""
    known = list(content.get("exams") or dict.fromkeys(item["exam"] for item in items if "exam" in item))
    if exam is not None:
        fitting = [name for name in known if name.startswith(exam)]
        if len(fitting) != 1:
            some = ", ".join((fitting or known)[:8])
            what = "is not an exam" if not fitting else f"matches {len(fitting)} exams"
            raise InputError(f"{exam} {what} of this datalist; choose one of {some}{' ...' if len(known) > 8 else ''}")
        return fitting[0]
    with_items = [name for name in known if any(item.get("exam") == name for item in items)]
    if not with_items:
        raise InputError("the datalist has no items, so there is no exam to draw")
    header = content.get("planewise", {})
    views = [header.get("stack", "sax"), *header.get("views", [])]
    stacks = content.get("exams", {})
    return max(with_items, key=lambda name: sum(view in stacks.get(name, {}).get("stacks", {}) for view in views))


def _of_planes(
    items: list[dict], listed: Mapping, stack_name: str, colours: Mapping[str, str], folder: Path, slices: int
) -> tuple[Rows, str]:
    """Slices of a stack with the lines of the other views, at the first phase with a mask, or else the first phase; then the
    other views with the lines of the stack."""
    # an organ that the indexer does not know is drawn whole, and its views keep their names
    anatomy = anatomy_of_stack(stack_name)
    look, called = (Look(), stack_name) if anatomy is None else (anatomy.look, anatomy.called)
    in_order = sorted(items, key=lambda item: ("label" not in item, cycle_fraction(item)))
    first = {item["slice"]: item for item in reversed(in_order)}
    stack = [first[rank] for rank in sorted(first)]
    # if there is only one slice, its phases are shown
    choice = stack if len(stack) > 1 else sorted(items, key=cycle_fraction)
    chosen = [choice[rank] for rank in evenly_spaced(len(choice), slices)]
    planes = {view: plane for view, plane in stack[0]["planes"].items() if view in colours}
    row = []
    for column, item in enumerate(chosen):
        title = _phase(item) if len(stack) == 1 else _slice_title(item, column in (0, len(chosen) - 1), look.ends)
        if column == 0 and len(stack) > 1 and "label" in item:
            title = f"{_phase(item)}: {title}"
        row.append(_with_lines(_load(item), planes, colours, title))
    cuts = {}
    for item in stack:
        plane = plane_from_affine(torch.tensor(item["affine"], dtype=torch.float64))
        cuts[str(item["slice"])] = dict(zip(("origin", "normal"), plane, strict=True))
    shown = dict.fromkeys((str(item["slice"]) for item in chosen), _INK)
    others = []
    for view in (*colours, *look.more_views):
        entry = listed.get("stacks", {}).get(view, {})
        if entry.get("items") and len(others) < _MOST_VIEWS:
            item = dict(entry["items"][0], image=str(folder / entry["items"][0]["image"]))
            with suppress(InputError):  # the line of this view's plane is drawn even without its image
                others.append(_with_lines(_load(item), cuts, shown, view))
    count = listed.get("stacks", {}).get(stack_name, {}).get("phases", [1])[-1]
    more = [f"{len(stack)} {called} slices" if len(stack) > 1 else f"{called} slice, {count_of(count, 'phase')}"]
    more += [f"no {view} plane in this exam" for view in colours if view not in planes]
    more += [f"relative location of the slices: {look.locations}"] * ("location" in stack[0]) + ["for research only"]
    return [row, *([others] if others else [])], "; ".join(more)


def _with_lines(
    item: Mapping[str, Any], planes: Mapping[str, Mapping[str, Any]], colours: Mapping[str, Any], title: str
) -> Shown:
    """A loaded slice with the lines in which planes cut it, those without a colour thin."""
    image = item["image"]
    ends = []
    for name, plane in planes.items():
        origin, normal = (torch.as_tensor(plane[key], dtype=torch.float64) for key in ("origin", "normal"))
        line = intersection_lines(image.affine, origin, normal)
        if torch.isfinite(line).all():
            ends.append((clip_lines(line, tuple(image.shape[1:3])).numpy(), colours.get(name)))
    mask = item["label"][0, :, :, 0].numpy() if "label" in item else None
    return Shown(image[0, :, :, 0].numpy(), title, mask, ends)


def _phase(item: Mapping[str, Any]) -> str:
    phase = item.get("phase", 0.0)
    return phase if isinstance(phase, str) else f"phase {phase:.2f}"


def _slice_title(item: Mapping[str, Any], at_an_end: bool, ends: tuple[str, str]) -> str:
    if "location" not in item:
        return f"slice {item['slice'] + 1}"
    return f"{ends[round(item['location'])]} " * at_an_end + f"{item['location']:.2f}"


def _of_volumes(items: list[dict], slices: int) -> Rows:
    """Slices of an exam's volumes, a row for each volume; if there are many, those with masks are drawn."""
    in_order = sorted(items, key=lambda item: ("label" not in item, str(item.get("phase", ""))))
    rows = []
    for volume in sorted(in_order[:_MOST_VOLUMES], key=lambda item: str(item.get("phase", ""))):
        cut = expand_volumes([volume])
        called = volume.get("phase", "")
        chosen = evenly_spaced(len(cut), slices)
        rows.append([_with_lines(_load(cut[rank]), {}, {}, f"{called} slice {rank + 1}") for rank in chosen])
    return rows


def _of_case(item: dict, channels: Sequence[str], slices: int) -> tuple[Rows, str]:
    """A row of slices for each channel of a case, spread over its mask if there is one."""
    loaded = LoadVolumed(("image", "label"), allow_missing_keys=True)(item)
    image, mask = loaded["image"].numpy(), loaded["label"].numpy()[0] if "label" in loaded else None
    there = np.arange(image.shape[3]) if mask is None or not mask.any() else np.flatnonzero(mask.any((0, 1)))
    names = [*channels, *(f"channel {number + 1}" for number in range(len(channels), len(image)) if len(image) > 1), ""]
    rows: Rows = [[] for _ in image]
    for rank in there[evenly_spaced(len(there), slices)]:
        for row, channel, name in zip(rows, image, names, strict=False):
            title = f"{name} slice {rank + 1}".lstrip()
            row.append(Shown(channel[:, :, rank], title, None if mask is None else mask[:, :, rank]))
    return rows, "    ".join([item.get("grade", "")] + ["no mask"] * (mask is None)).strip()


def _grid_figure(title: str, rows: Rows, names: Mapping[int, str], planes: Mapping[str, str]) -> Figure:
    """Rows of pictures with their lines and the outlines of their masks; ``names`` are those of the masks' values, and
    ``planes`` maps views to the colours of their lines."""
    columns = max(map(len, rows))
    side = 7 if len(rows) == columns == 1 else 2.35
    figure, grid = picture_grid(len(rows), columns, (max(side * columns, 7), (side + 0.15) * len(rows) + 0.9))
    for row, pictures in zip(grid, rows, strict=True):
        for axes in row[len(pictures) :]:
            axes.remove()
        for axes, shown in zip(row, pictures, strict=False):
            _draw(axes, shown)
    figure.suptitle(title, fontsize=11, wrap=True)
    masks = [shown.mask for row in rows for shown in row if shown.mask is not None]
    values = sorted({int(value) for mask in masks for value in np.unique(mask)} - {0})
    keys = {names.get(value, f"structure {value}"): STRUCTURE_COLOURS.get(value, _INK) for value in values}
    keys |= {f"{view} plane": colour for view, colour in planes.items()}
    if keys:
        add_legend(figure, list(keys), list(keys.values()))
    return figure


def _draw(axes: Any, shown: Shown) -> None:
    if shown.picture.ndim == 3:
        axes.imshow(shown.picture.transpose(1, 0, 2))
        axes.set_axis_off()
    else:
        show_slice(axes, shown.picture)
    for ends, colour in shown.lines:
        style = {"lw": 1.6, "color": colour} if colour else {"lw": 0.7, "color": _INK, "alpha": 0.5}
        axes.plot(ends[:, 0], ends[:, 1], solid_capstyle="butt", **style)
    for value in np.unique(shown.mask[shown.mask > 0]) if shown.mask is not None else ():
        colour = STRUCTURE_COLOURS.get(int(value), _INK)
        axes.contour((shown.mask == value).T, levels=[0.5], colors=colour, linewidths=1.3)
    axes.set_title(shown.title, fontsize=9)
