"""Draw an indexed exam, so that one can see how its planes cut each other, as in Zhang 2024 Figs. 2 to 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from planewise.data import cycle_fraction, expand_volumes, load_datalist, read_datalist
from planewise.errors import InputError
from planewise.exams.anatomies import anatomy_of_stack
from planewise.exams.anatomy import Look
from planewise.files.arrays import open_volume
from planewise.files.datalists import SECTIONS
from planewise.files.masks import HEART_STRUCTURES
from planewise.findings import from_record, said
from planewise.geometry import clip_lines, intersection_lines, line_heatmaps, pixels_to_patient, plane_from_affine
from planewise.phases import nearest_phase
from planewise.preprocessing import LoadPhotographd, LoadSliced, LoadVolumed
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.pretext_figures import VIEW_COLOURS, overlay_heatmaps
from planewise.reports.segmentation_figures import STRUCTURE_COLOURS
from planewise.reports.slices import name_row, show_slice
from planewise.words import count_of, some_of

_BACKGROUND, _INK = "#101214", "#e8e8e8"
_LOCATIONS = matplotlib.colormaps["plasma"]
#: Largest number of a stack's phases with masks, and of an exam's volumes, that are drawn.
_MOST_PHASES, _MOST_VOLUMES = 2, 4


@dataclass(frozen=True)
class Shown:
    """A picture ``(i, j)`` or ``(i, j, 3)``, its title, and the label map that is outlined on it."""

    picture: np.ndarray
    title: str
    mask: np.ndarray | None = None


Rows = list[list[Shown]]


def exam_figure(path: str | Path, exam: str | None = None, slices: int = 5) -> tuple[Figure, str]:
    """Draw an exam of a datalist: slices with the lines and heatmaps of the other views, and the other views with the
    lines of the stack.

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
    name = choose_exam(content, items, exam)
    own = [item for item in items if item.get("exam") == name]
    listed = content.get("exams", {}).get(name, {})
    header = content.get("planewise", {})
    if any("affine" in item for item in own):
        folder = Path(path).expanduser().resolve().parent
        return _planes_figure(name, own, listed, header, folder, slices), name
    if own:
        kind = header.get("stack")
        if kind == "volume":
            rows, more = _of_case(own[0], header.get("channels", []), slices)
        elif kind == "photograph":
            rows, more = _of_photograph(own[0])
        elif all(item["image"].endswith(".npy") for item in own):
            rows, more = _of_array(own[0], slices)
        else:
            rows, more = _of_volumes(own, slices)
        return _grid_figure(f"exam {name}    {more}".rstrip(), rows, HEART_STRUCTURES.get(kind, {})), name
    reasons = said(map(from_record, listed.get("left_out", []))) or "no reason is given"
    raise InputError(f"exam {name} has no images in the datalist to draw: {reasons}")


def choose_exam(content: Mapping[str, Any], items: Sequence[Mapping], exam: str | None) -> str:
    """The full hash of the requested exam; by default, that of the first exam with the largest number of views (the
    stack counts as a view).

    Raises:
        InputError: no exam's hash begins with the given text, several do, or the datalist is empty.
    """
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


def _planes_figure(name: str, items: list[dict], listed: dict, header: Mapping, folder: Path, slices: int) -> Figure:
    views, stack_name = header.get("views", []), header.get("stack", "sax")
    # an organ that the indexer does not know is drawn in patient orientation, and its views keep their names
    anatomy = anatomy_of_stack(stack_name)
    look, called = (Look(), stack_name) if anatomy is None else (anatomy.look, anatomy.called)
    first = {}
    in_time = sorted(items, key=cycle_fraction)
    for item in reversed(in_time):
        first[item["slice"]] = item  # keep only the first phase of each slice
    stack = [first[rank] for rank in sorted(first)]
    masked = sorted({cycle_fraction(item): _phase_title(item) for item in items if "label" in item}.items())
    drawn = [fraction for fraction, _ in masked[:_MOST_PHASES]] if len(stack) > 1 else []
    # if there is only one slice, its phases are shown, or those with masks
    choice = stack if len(stack) > 1 else [item for item in in_time if "label" in item] or in_time
    shown = [choice[rank] for rank in evenly_spaced(len(choice), slices)]
    if drawn:
        shown = [_at(items, item, drawn[0]) for item in shown]
    planes = {view: plane for view, plane in stack[0]["planes"].items() if view in views}
    colours = dict(zip(views, cycle(VIEW_COLOURS), strict=False))
    loader = LoadSliced(keys=("image", "label"), allow_missing_keys=True)
    loaded = [loader(item) for item in shown]
    images = [item["image"] for item in loaded]
    others = {}
    for view in (*views, *look.more_views):
        entry = listed.get("stacks", {}).get(view, {})
        if entry.get("items") and view not in others and len(others) < 3:
            item = dict(entry["items"][0], exam=name)
            item["image"] = str(folder / item["image"])
            with suppress(InputError):  # the line of this view's plane is drawn even without its image
                others[view] = loader(item)["image"]

    columns = len(shown)
    later = [[loader(_at(items, item, fraction)) for item in shown] for fraction in drawn[1:]]
    heights = [1] * (1 + len(later) + bool(views)) + [1.35] * bool(others)  # without views there are no heatmaps
    figure = Figure(figsize=(2.35 * max(columns, 4), 2.2 * sum(heights) + 1.2), facecolor=_BACKGROUND)
    rows = list(
        figure.add_gridspec(
            len(heights), 1, height_ratios=heights, left=0.035, right=0.965, top=0.9, bottom=0.055, hspace=0.13
        )
    )
    grids = [row.subgridspec(1, columns, wspace=0.04) for row in rows[: 1 + len(later) + bool(views)]]
    centres = []
    for column, (item, image) in enumerate(zip(shown, images, strict=True)):
        lines = _lines(image.affine, planes)
        centre = _meeting_point(lines, image)
        centres.append(pixels_to_patient(torch.from_numpy(centre), image.affine).numpy())
        for row, grid in enumerate(grids):
            axes = figure.add_subplot(grid[column])
            at_phase = later[row - 1][column] if 0 < row <= len(later) else loaded[column]
            show_slice(axes, at_phase["image"][0, :, :, 0].numpy())
            if row <= len(later):
                for view, line in zip(planes, lines, strict=True):
                    _draw_line(axes, line, image.shape[1:3], colours[view])
                if "label" in at_phase:
                    _outline(axes, at_phase["label"][0, :, :, 0].numpy())
                title = _phase_title(item) if len(stack) == 1 else _slice_title(item, column, columns, look.ends)
                axes.set_title(title if row == 0 else "", color=_INK, fontsize=10)
                if drawn and column == 0:
                    name_row(axes, masked[row][1], away=0.03, color=_INK, fontsize=9)
            else:
                _overlay(axes, image, lines, [colours[view] for view in planes], look.sigma)
            if look.fields:
                _crop(axes, image, centre, look.fields[0])
    shown_ranks = {item["slice"] for item in shown}
    middle_of_all = np.mean(centres, axis=0)
    bottom = rows[-1].subgridspec(1, max(len(others), 1), wspace=0.06)
    for column, (view, image) in enumerate(others.items()):
        axes = figure.add_subplot(bottom[column])
        _draw_other_view(axes, image, middle_of_all, stack, shown_ranks, look.fields and look.fields[1])
        axes.set_title(view, color=colours.get(view, _INK), fontsize=11, fontweight="bold")
    used = {cycle_fraction(item) for item in shown} | set(drawn)
    hidden = [title for fraction, title in masked if fraction not in used]
    notes = [f"{count_of(len(hidden), 'phase')} with masks not drawn: {some_of(hidden)}"] if hidden else []
    _caption(figure, name, stack, listed, planes, colours, look, called, notes)
    names = HEART_STRUCTURES.get(stack_name, {})
    masks = [item.get("label") for item in (*loaded, *(item for row in later for item in row))]
    _legend(figure, masks, names, (0.03, 0.955))
    return figure


def _at(items: Sequence[Mapping[str, Any]], item: Mapping[str, Any], fraction: float) -> Mapping[str, Any]:
    """The image of an item's slice at the phase nearest to a fraction of the cycle."""
    own = [other for other in items if other["slice"] == item["slice"]]
    return own[nearest_phase([cycle_fraction(other) for other in own], fraction)]


def _legend(
    figure: Figure,
    masks: Sequence[Any],
    names: Mapping[int, str],
    corner: tuple[float, float] | None = None,
) -> None:
    """Name the outlined structures in their colours, at the upper left corner, or below the picture."""
    values = sorted({int(value) for mask in masks if mask is not None for value in np.unique(mask)} - {0})
    handles = [
        Line2D([], [], color=STRUCTURE_COLOURS.get(value, _INK), label=names.get(value, f"structure {value}"))
        for value in values
    ]
    place = {"loc": "outside lower center"} if corner is None else {"loc": "upper left", "bbox_to_anchor": corner}
    if handles:
        figure.legend(
            handles=handles, ncols=len(handles), frameon=False, labelcolor=_INK, fontsize=9, borderpad=0, **place
        )


def _lines(affine: torch.Tensor, planes: Mapping[str, Mapping]) -> torch.Tensor:
    """Lines ``(views, 3)`` along which the planes of the views cut a slice."""
    if not planes:
        return torch.zeros(0, 3, dtype=torch.float64)
    origins = torch.tensor([plane["origin"] for plane in planes.values()], dtype=torch.float64)
    normals = torch.tensor([plane["normal"] for plane in planes.values()], dtype=torch.float64)
    return intersection_lines(affine, origins, normals)


def _meeting_point(lines: torch.Tensor, image: torch.Tensor) -> np.ndarray:
    """Intersection of the first two lines, in pixels; the middle of the image if they do not cross."""
    middle = (np.array(image.shape[1:3]) - 1) / 2
    pair = lines[:2].numpy()
    if len(pair) < 2 or not np.isfinite(pair).all() or abs(np.linalg.det(pair[:, :2])) < 0.2:
        return middle
    return np.linalg.solve(pair[:, :2], -pair[:, 2])


def _draw_line(axes, line: torch.Tensor, shape, colour, width: float = 1.8, **style) -> np.ndarray:
    ends = clip_lines(line, tuple(shape)).numpy()
    axes.plot(ends[:, 0], ends[:, 1], color=colour, lw=width, solid_capstyle="butt", **style)
    return ends


def _overlay(axes, image: torch.Tensor, lines: torch.Tensor, colours: Sequence[str], sigma: float) -> None:
    spacing = float(image.affine[:3, 0].norm())
    heatmaps = line_heatmaps(lines, tuple(image.shape[1:3]), sigma / spacing).numpy()
    for heatmap, colour in zip(heatmaps, colours, strict=True):
        layers = np.zeros((VIEW_COLOURS.index(colour) + 1, *heatmap.shape))
        layers[-1] = heatmap
        overlay_heatmaps(axes, layers)


def _crop(axes, image: torch.Tensor, centre: np.ndarray, field: float) -> None:
    """Show a square of ``field`` mm around a point. Near a border, the square is moved so that it stays on the image."""
    spacing = image.affine[:3, :2].norm(dim=0).numpy()
    half = field / 2 / spacing
    size = np.array(image.shape[1:3])
    half = np.minimum(half, min((size * spacing).min() / 2 / spacing.max(), half.max()))
    low, high = -0.5 + half, size - 0.5 - half
    i, j = np.where(low <= high, np.clip(centre, low, high), (size - 1) / 2)
    axes.set_xlim(i - half[0], i + half[0])
    axes.set_ylim(j + half[1], j - half[1])


def _phase_title(item: Mapping) -> str:
    phase = item.get("phase", 0.0)
    return phase if isinstance(phase, str) else f"phase {phase:.2f}"


def _slice_title(item: Mapping, column: int, columns: int, ends: tuple[str, str]) -> str:
    if "location" not in item:
        return f"slice {item['slice'] + 1}"
    end = {0: f"{ends[0]} ", columns - 1: f"{ends[1]} "}.get(column, "")
    return f"{end}{item['location']:.2f}"


def _draw_other_view(
    axes, image: torch.Tensor, middle: np.ndarray, stack: Sequence[Mapping], shown: set[int], field: float | None
) -> None:
    """Draw another view around ``middle`` (in patient space), with the lines and the locations of the stack's slices."""
    show_slice(axes, image[0, :, :, 0].numpy())
    affine = image.affine.numpy()
    if field:
        _crop(axes, image, np.linalg.lstsq(affine[:3, :2], middle - affine[:3, 3], rcond=None)[0], field)
    origins, normals = plane_from_affine(torch.tensor([item["affine"] for item in stack], dtype=torch.float64))
    for item, line in zip(stack, intersection_lines(image.affine, origins, normals), strict=True):
        if not torch.isfinite(line).all():
            continue
        location = item.get("location", item["slice"] / (len(stack) - 1) if len(stack) > 1 else 1.0)
        main = item["slice"] in shown
        style = {"width": 1.6} if main else {"width": 0.8, "alpha": 0.7}
        ends = _draw_line(axes, line, image.shape[1:3], _LOCATIONS(0.15 + 0.8 * location), **style)
        if main and len(stack) > 1 and np.isfinite(ends).all():
            _label(axes, ends, f"{location:.2f}" if "location" in item else str(item["slice"] + 1))


def _label(axes, ends: np.ndarray, text: str) -> None:
    """Label a line where it leaves the shown area: on the right, or at the bottom if the line is steep."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    points = ends[0] + np.linspace(0, 1, 200)[:, None] * (ends[1] - ends[0])
    inside = (
        (points[:, 0] > left + 2) & (points[:, 0] < right - 2) & (points[:, 1] > top + 2) & (points[:, 1] < bottom - 2)
    )
    if not inside.any():
        return
    steep = abs(ends[1] - ends[0]) @ (-3, 1) > 0
    x, y = max(points[inside], key=lambda point: point[int(steep)])
    box = {"facecolor": _BACKGROUND, "alpha": 0.65, "pad": 1, "edgecolor": "none"}
    place = {"ha": "center", "va": "bottom"} if steep else {"ha": "right", "va": "center"}
    axes.text(x, y, text, color=_INK, fontsize=7.5, bbox=box, **place)


def _caption(
    figure: Figure,
    name: str,
    stack: Sequence[Mapping],
    listed: Mapping,
    planes: Mapping,
    colours: Mapping,
    look: Look,
    called: str,
    notes: list[str],
) -> None:
    """What is drawn, above the pictures; which planes are missing and what the numbers mean, below."""
    stacks = listed.get("stacks", {})
    main = stacks.get(stack[0]["stack"], {})
    phases = main.get("phases", [1])[-1]
    text = f"exam {name}, "
    text += f"{len(stack)} {called} slices" if len(stack) > 1 else f"{called} slice, {count_of(phases, 'phase')}"
    if main.get("spacing"):
        text += f", {main['spacing']:.1f} mm apart"
    figure.text(0.035, 0.962, text, color=_INK, fontsize=12, fontweight="bold", va="center")
    for number, view in enumerate(reversed(list(planes))):
        sure = stacks.get(view, {}).get("confidence")
        label = f"{view} plane" + (f" ({sure:.2f})" if sure is not None else "")
        place = {"ha": "right", "va": "center", "fontsize": 11, "fontweight": "bold"}
        figure.text(0.965 - 0.15 * number, 0.962, label, color=colours[view], **place)
    notes += [f"no {view} plane in this exam" for view in colours if view not in planes]
    if "location" in stack[0]:
        notes.append(f"relative location of the slices: {look.locations}")
    notes += [f"heatmaps: Zhang 2024, Eq. (1), sigma {look.sigma:.1f} mm"] * bool(colours) + ["for research only"]
    figure.text(0.035, 0.022, "; ".join(notes), color=_INK, fontsize=8.5, alpha=0.8, va="center")


def _of_volumes(items: list[dict], slices: int) -> tuple[Rows, str]:
    """Slices of an exam's volumes, a row for each volume; if there are many, those with masks are drawn."""
    in_order = sorted(items, key=lambda item: ("label" not in item, str(item.get("phase", ""))))
    loader = LoadSliced(keys=("image", "label"), allow_missing_keys=True)
    rows = []
    for volume in sorted(in_order[:_MOST_VOLUMES], key=lambda item: str(item.get("phase", ""))):
        cut = expand_volumes([volume])
        rows.append([])
        for rank in evenly_spaced(len(cut), slices):
            item = loader(cut[rank])
            mask = item["label"][0, :, :, 0].numpy() if "label" in item else None
            title = f"{volume.get('phase', '')} slice {rank + 1}"
            rows[-1].append(Shown(item["image"][0, :, :, 0].numpy(), title, mask))
    hidden = [f"{item.get('phase', 'volume')}{' with a mask' * ('label' in item)}" for item in in_order[_MOST_VOLUMES:]]
    return rows, f"not drawn: {some_of(hidden)}" if hidden else ""


def _of_case(item: dict, channels: Sequence[str], slices: int) -> tuple[Rows, str]:
    """A row of slices for each channel of a case, spread over its mask, or over the foreground if there is no mask."""
    loaded = LoadVolumed(("image", "label"), allow_missing_keys=True)(item)
    image, mask = loaded["image"].numpy(), loaded["label"].numpy()[0] if "label" in loaded else None
    drawn = image[0] > image[0].min() if mask is None or not mask.any() else mask > 0
    there = np.flatnonzero(drawn.any((0, 1)))
    there = there if len(there) else np.arange(image.shape[3])
    chosen = there[evenly_spaced(len(there), slices)]
    names = [*channels, *(f"channel {number + 1}" for number in range(len(channels), len(image)) if len(image) > 1), ""]
    rows = [
        [
            Shown(channel[:, :, rank], f"{name} slice {rank + 1}".lstrip(), None if mask is None else mask[:, :, rank])
            for rank in chosen
        ]
        for channel, name in zip(image, names, strict=False)
    ]
    return rows, "    ".join([item.get("grade", "")] + ["no mask"] * (mask is None)).strip()


def _of_photograph(item: dict) -> tuple[Rows, str]:
    picture = LoadPhotographd("image")(item)["image"].numpy().transpose(1, 2, 0)
    return [[Shown(picture, "")]], f"grade {item['grade']}" if "grade" in item else "no grade"


def _of_array(item: dict, slices: int) -> tuple[Rows, str]:
    """Slices of a volume without geometry ``(slices, rows, columns)``, and its labels in words."""
    try:
        volume = open_volume(item["image"])
        row = [
            Shown(np.asarray(volume[rank], dtype=np.float32).T, f"slice {rank + 1} of {len(volume)}")
            for rank in evenly_spaced(len(volume), slices)
        ]
    except ValueError as error:
        raise InputError(f"exam {item['exam']}: {error}") from None
    known = [f"{key}: {'yes' if value else 'no'}" for key, value in item.items() if type(value) is int]
    return [row], ", ".join(known) or "no label"


def _grid_figure(title: str, rows: Rows, names: Mapping[int, str]) -> Figure:
    """Rows of pictures with the outlines of their masks."""
    columns = max(map(len, rows))
    side = 7 if len(rows) == columns == 1 else 2.35
    figure = Figure(
        figsize=(max(side * columns, 7), (side + 0.15) * len(rows) + 0.7), facecolor=_BACKGROUND, layout="constrained"
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, pictures in zip(grid, rows, strict=True):
        for axes in row:
            axes.set_axis_off()
        for axes, shown in zip(row, pictures, strict=False):
            if shown.picture.ndim == 3:
                axes.imshow(shown.picture.transpose(1, 0, 2))
            else:
                show_slice(axes, shown.picture)
            if shown.mask is not None:
                _outline(axes, shown.mask)
            axes.set_title(shown.title, color=_INK, fontsize=9)
    figure.suptitle(title, color=_INK, fontsize=12, fontweight="bold")
    _legend(figure, [shown.mask for row in rows for shown in row], names)
    return figure


def _outline(axes: Any, mask: np.ndarray) -> None:
    """The outlines of a slice's labels, ``(i, j)``."""
    for value in np.unique(mask[mask > 0]):
        colour = STRUCTURE_COLOURS.get(int(value), _INK)
        axes.contour((mask == value).T, levels=[0.5], colors=colour, linewidths=1.3)
