"""Draw an indexed exam, so that one can see how its planes cut each other, as in Zhang 2024 Figs. 2 to 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

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
#: Side of the pictures in space, mm, for a known organ.
_FIELD = 130.0
#: Largest number of a stack's phases with masks, and of an exam's volumes, that are drawn.
_MOST_PHASES, _MOST_VOLUMES = 2, 4


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
    if own and header.get("stack") == "volume":
        return _case_figure(name, own[0], header.get("channels", []), slices), name
    if own and header.get("stack") == "photograph":
        return _photograph_figure(name, own[0]), name
    if own and all(item["image"].endswith(".npy") for item in own):
        return _arrays_figure(name, own, slices), name
    if own:
        return _volumes_figure(name, own, slices, HEART_STRUCTURES.get(header.get("stack"), {})), name
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
    # if there is only one slice, its phases are shown
    shown = _chosen(stack, slices) if len(stack) > 1 else _chosen(in_time, slices, with_masks=True)
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
    heights = (1, *(1 for _ in later), *((1, 1.35) if views else (1.35,)))  # without views there are no heatmaps
    size = (2.35 * max(columns, 4), (8.6 if views else 6.6) + 2.2 * len(later))
    figure = Figure(figsize=size, facecolor=_BACKGROUND)
    rows = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, left=0.035, right=0.965, top=0.9, bottom=0.055, hspace=0.13
    )
    grids = [row.subgridspec(1, columns, wspace=0.04) for row in list(rows)[:-1]]
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
    bottom = rows[len(grids)].subgridspec(1, len(others) + 1, wspace=0.06, width_ratios=[1] * len(others) + [1.15])
    shown_ranks = {item["slice"] for item in shown}
    middle_of_all = np.mean(centres, axis=0)
    for column, (view, image) in enumerate(others.items()):
        axes = figure.add_subplot(bottom[column])
        _draw_other_view(axes, image, middle_of_all, stack, shown_ranks, look.fields and look.fields[1])
        axes.set_title(view, color=colours.get(view, _INK), fontsize=11, fontweight="bold")
    _draw_space(figure.add_subplot(bottom[len(others)], projection="3d"), images, others, colours, look)
    used = {cycle_fraction(item) for item in shown} | set(drawn)
    hidden = [title for fraction, title in masked if fraction not in used]
    more = f"{count_of(len(hidden), 'phase')} with masks not drawn: {some_of(hidden)}. " if hidden else ""
    _caption(figure, name, stack, listed, planes, others, colours, look, called, more)
    names = HEART_STRUCTURES.get(stack_name, {})
    _legend(figure, [*loaded, *(item for row in later for item in row)], names, (0.03, 0.955))
    return figure


def _chosen(images: Sequence[dict], most: int, with_masks: bool = False) -> list[dict]:
    """Evenly spaced images; ``with_masks``, those with masks replace the nearest ones without."""
    ranks = evenly_spaced(len(images), most)
    for number in [number for number, item in enumerate(images) if with_masks and "label" in item]:
        free = [rank for rank in ranks if "label" not in images[rank]]
        if number not in ranks and free:
            ranks[ranks.index(min(free, key=lambda rank: abs(rank - number)))] = number
    return [images[rank] for rank in sorted(ranks)]


def _at(items: Sequence[Mapping[str, Any]], item: Mapping[str, Any], fraction: float) -> Mapping[str, Any]:
    """The image of an item's slice at the phase nearest to a fraction of the cycle."""
    own = [other for other in items if other["slice"] == item["slice"]]
    return own[nearest_phase([cycle_fraction(other) for other in own], fraction)]


def _legend(
    figure: Figure,
    loaded: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    corner: tuple[float, float] | None = None,
) -> None:
    """Name the outlined structures in their colours, at the upper left corner, or below the picture."""
    values = sorted({int(value) for item in loaded if "label" in item for value in np.unique(item["label"])} - {0})
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


def _draw_space(axes, images, others: Mapping, colours: Mapping[str, str], look: Look) -> None:
    """Draw a slice and the views in space as textured planes (Fig. 2d), and the other slices as outlines."""
    middle = images[len(images) // 2]
    pictures = [(middle, _INK), *((image, colours[view]) for view, image in others.items() if view in colours)]
    if look.upright:
        up, front = np.array([0.0, 0, 1]), np.array([-0.64, 0.77, 0])  # viewed from the patient's front and left
    else:
        up, front = _first_slice_up(images, [_normal(image) for image, _ in pictures])
    frame = np.stack([front, np.cross(up, front), up])  # rows: directions to the viewer, to the viewer's right, and up
    corner = [(middle.shape[1] - 1) / 2, (middle.shape[2] - 1) / 2, 0, 1]
    centre = (middle.affine.numpy() @ corner)[:3]

    def side(image: torch.Tensor) -> np.ndarray:
        """The direction in which a picture is upright: ``up``, or ``front`` for a horizontal picture."""
        return front if abs(_normal(image) @ up) > 0.7 else up

    field = _FIELD if look.fields else _extent(images)
    textures = [_textured(image, centre, side(image), field) for image, _ in pictures]
    # one collection for all pictures, so that intersecting planes are sorted piece by piece
    corners, shades = (np.concatenate([texture[part] for texture in textures]) for part in (0, 1))
    corners = (corners - centre) @ frame.T
    axes.add_collection3d(Poly3DCollection(corners, facecolors=shades, edgecolors=shades, linewidths=0.3))
    outlines = [(texture[2], colour, 1.6) for texture, (_, colour) in zip(textures, pictures, strict=True)]
    for rank, image in enumerate(images):
        colour = _LOCATIONS(0.15 + 0.8 * rank / max(len(images) - 1, 1))
        outlines.append((_textured(image, centre, side(image), field)[2], colour, 0.9))
    for outline, colour, width in outlines:
        axes.plot(*((outline - centre) @ frame.T).T, color=colour, lw=width)
    # mm; outlines that are perpendicular to the viewing direction extend further
    reach = (76 if look.upright else 62) * field / _FIELD
    for set_limits in (axes.set_xlim, axes.set_ylim, axes.set_zlim):
        set_limits(-reach, reach)
    axes.set_box_aspect((1, 1, 1), zoom=1.2)
    axes.view_init(elev=24, azim=0)
    axes.set_axis_off()
    axes.set_facecolor(_BACKGROUND)


def _first_slice_up(images, normals: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors that point up and to the viewer. The viewer is between the views' planes, in front of the patient.

    Args:
        images: images of the stack.
        normals: normals of the stack, then of the views.
    """
    stack_direction = (images[0].affine - images[-1].affine)[:3, 3].numpy()
    up = normals[0] * (1.0 if normals[0] @ stack_direction >= 0 else -1.0)
    beside = [normal - (normal @ up) * up for normal in normals[1:]] or [np.cross(up, (1.0, 0, 0))]
    front = sum(side * (1.0 if side @ beside[0] >= 0 else -1.0) for side in beside)
    return up, front / (np.linalg.norm(front) * (1.0 if front[1] >= 0 else -1.0))


def _extent(images: Sequence[torch.Tensor]) -> float:
    """The longest side of a stack's slices, or the stack's own length if that is longer, mm."""
    sides = [
        float(size * image.affine[:3, axis].norm()) for image in images for axis, size in enumerate(image.shape[1:3])
    ]
    return max(*sides, float((images[-1].affine - images[0].affine)[:3, 3].norm()))


def _normal(image: torch.Tensor) -> np.ndarray:
    normal = np.cross(*image.affine[:3, :2].T.numpy())
    return normal / np.linalg.norm(normal)


def _textured(image: torch.Tensor, centre: np.ndarray, upright: np.ndarray, field: float, pieces: int = 56):
    """A square of a picture, cut into small pieces. It is centred on the picture's point nearest to ``centre``, and one
    side runs along ``upright``.

    Returns:
        Corners of the pieces (N, 4, 3), their colours (N, 4), and the outline (5, 3), in patient space.
    """
    affine, pixels = image.affine.numpy(), image[0, :, :, 0].numpy()
    low, high = np.percentile(pixels, (0.5, 99.5))
    normal = _normal(image)
    down = upright - (upright @ normal) * normal
    down /= -np.linalg.norm(down)
    middle = centre + ((affine[:3, 3] - centre) @ normal) * normal
    steps = np.linspace(-field / 2, field / 2, pieces + 1)
    points = middle + steps[:, None, None] * np.cross(down, normal) + steps[None, :, None] * down
    corners = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], axis=2).reshape(-1, 4, 3)
    index = np.linalg.lstsq(affine[:3, :2], (corners.mean(axis=1) - affine[:3, 3]).T, rcond=None)[0].T
    index = np.rint(index).astype(int)
    inside = ((index >= 0) & (index < pixels.shape)).all(axis=1)
    values = np.zeros(len(index))
    values[inside] = np.clip((pixels[tuple(index[inside].T)] - low) / max(high - low, 1e-6), 0, 1)
    shades = np.stack([values, values, values, np.where(inside, 1.0, 0.0)], axis=1)
    return corners, shades, points[[0, -1, -1, 0, 0], [0, 0, -1, -1, 0]]


def _caption(
    figure: Figure,
    name: str,
    stack,
    listed: dict,
    planes: Mapping,
    others: Mapping,
    colours: Mapping,
    look: Look,
    called: str,
    more: str,
) -> None:
    stacks = listed.get("stacks", {})
    main = stacks.get(stack[0]["stack"], {})
    phases = main.get("phases", [1])[-1]
    shown = f"{len(stack)} {called} slices" if len(stack) > 1 else f"{called} slice, {count_of(phases, 'phase')}"
    text = [f"exam {name}", shown]
    if main.get("spacing"):
        text.append(f"{main['spacing']:.1f} mm apart")
    figure.text(0.035, 0.962, ", ".join(text), color=_INK, fontsize=12, fontweight="bold", va="center")
    place = 0.965
    for view in reversed(list(planes)):
        sure = stacks.get(view, {}).get("confidence")
        label = f"{view} plane" + (f" ({sure:.2f})" if sure is not None else "")
        figure.text(place, 0.962, label, color=colours[view], fontsize=11, fontweight="bold", ha="right", va="center")
        place -= 0.03 + 0.0078 * len(label)
    missing = [view for view in colours if view not in planes]
    unread = [view for view in colours if view in planes and view not in others and stacks.get(view, {}).get("items")]
    note = "" if len(stack) == 1 else "the slices have no relative location. "
    if "location" in stack[0]:
        note = f"relative location of the slices: {look.locations}. "
    note += f"Heatmaps: Zhang 2024, Eq. (1), sigma {look.sigma:.1f} mm. " if colours else ""
    note += "For research only."
    note = more + note
    if missing:
        note = f"no {' and no '.join(missing)} plane in this exam. " + note
    if unread:
        note = f"the {' and '.join(unread)} image cannot be read. " + note
    figure.text(0.035, 0.022, note, color=_INK, fontsize=8.5, alpha=0.8, va="center")


def _volumes_figure(name: str, items: list[dict], slices: int, names: Mapping[int, str]) -> Figure:
    """Slices of an exam's volumes with the outlines of their masks; a row for each volume. If there are
    many volumes, those with masks are drawn."""
    in_order = sorted(items, key=lambda item: ("label" not in item, str(item.get("phase", ""))))
    volumes = sorted(in_order[:_MOST_VOLUMES], key=lambda item: str(item.get("phase", "")))
    figure = Figure(figsize=(2.35 * slices, 2.5 * len(volumes) + 0.7), facecolor=_BACKGROUND, layout="constrained")
    drawn = []
    grid = figure.subplots(len(volumes), slices, squeeze=False)
    for row, volume in enumerate(volumes):
        cut = expand_volumes([volume])
        loader = LoadSliced(keys=("image", "label"), allow_missing_keys=True)
        chosen = evenly_spaced(len(cut), slices)
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            if column >= len(chosen):
                continue
            item = loader(cut[chosen[column]])
            drawn.append(item)
            show_slice(axes, item["image"][0, :, :, 0].numpy())
            if "label" in item:
                _outline(axes, item["label"][0, :, :, 0].numpy())
            axes.set_title(f"{volume.get('phase', '')} slice {chosen[column] + 1}", color=_INK, fontsize=9)
    hidden = [f"{item.get('phase', 'volume')}{' with a mask' * ('label' in item)}" for item in in_order[_MOST_VOLUMES:]]
    more = f"    not drawn: {some_of(hidden)}" if hidden else ""
    figure.suptitle(f"exam {name}{more}", color=_INK, fontsize=12, fontweight="bold")
    _legend(figure, drawn, names)
    return figure


def _case_figure(name: str, item: dict, channels: Sequence[str], slices: int) -> Figure:
    """A row of slices for each channel of a case, with the outlines of its mask. The slices are spread over the mask, or
    over the foreground if there is no mask.
    """
    loaded = LoadVolumed(("image", "label"), allow_missing_keys=True)(item)
    image, mask = loaded["image"].numpy(), loaded["label"].numpy()[0] if "label" in loaded else None
    shown = np.flatnonzero(
        (image[0] > image[0].min()).any((0, 1)) if mask is None or not mask.any() else mask.any((0, 1))
    )
    shown = shown if len(shown) else np.arange(image.shape[3])
    chosen = shown[evenly_spaced(len(shown), slices)]
    figure = Figure(
        figsize=(2.35 * max(len(chosen), 3), 2.5 * len(image) + 0.7), facecolor=_BACKGROUND, layout="constrained"
    )
    grid = figure.subplots(len(image), len(chosen), squeeze=False)
    names = [
        *channels,
        *(f"channel {number + 1}" if len(image) > 1 else "" for number in range(len(channels), len(image))),
    ]
    for row, (channel, title) in enumerate(zip(image, names, strict=False)):
        for axes, rank in zip(grid[row], chosen, strict=True):
            axes.set_axis_off()
            show_slice(axes, channel[:, :, rank])
            if mask is not None:
                _outline(axes, mask[:, :, rank])
            axes.set_title(f"{title} slice {rank + 1}".lstrip(), color=_INK, fontsize=9)
    grade = f"    {item['grade']}" if "grade" in item else ""
    missing = "" if mask is not None else "    no mask"
    figure.suptitle(f"exam {name}{grade}{missing}", color=_INK, fontsize=12, fontweight="bold")
    _legend(figure, [loaded], {})
    return figure


def _photograph_figure(name: str, item: dict) -> Figure:
    """A photograph, at its own resolution, with its grade."""
    image = LoadPhotographd("image")(item)["image"].numpy()
    figure = Figure(figsize=(7, 7 * image.shape[2] / image.shape[1] + 0.4), facecolor=_BACKGROUND, layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.imshow(image.transpose(2, 1, 0))
    grade = f"    grade {item['grade']}" if "grade" in item else "    no grade"
    figure.suptitle(f"exam {name}{grade}", color=_INK, fontsize=12, fontweight="bold")
    return figure


def _outline(axes: Any, mask: np.ndarray) -> None:
    """The outlines of a slice's labels, ``(i, j)``."""
    for value in np.unique(mask[mask > 0]):
        colour = STRUCTURE_COLOURS.get(int(value), _INK)
        axes.contour((mask == value).T, levels=[0.5], colors=colour, linewidths=1.3)


def _arrays_figure(name: str, items: list[dict], slices: int) -> Figure:
    """Slices of a volume without geometry ``(slices, rows, columns)`` in one row, with its labels in words."""
    item = items[0]
    try:
        volume = open_volume(item["image"])
        chosen = evenly_spaced(len(volume), slices)
        pictures = [np.asarray(volume[rank], dtype=np.float32).T for rank in chosen]
    except ValueError as error:
        raise InputError(f"exam {name}: {error}") from None
    figure = Figure(figsize=(2.35 * max(len(chosen), 3), 3.1), facecolor=_BACKGROUND, layout="constrained")
    for axes, picture, rank in zip(figure.subplots(1, len(chosen), squeeze=False)[0], pictures, chosen, strict=True):
        show_slice(axes, picture)
        axes.set_title(f"slice {rank + 1} of {len(volume)}", color=_INK, fontsize=9)
    known = [f"{key}: {'yes' if value else 'no'}" for key, value in item.items() if type(value) is int]
    figure.suptitle(f"exam {name}    {', '.join(known) or 'no label'}", color=_INK, fontsize=12, fontweight="bold")
    return figure
