"""Read a datalist (tools/docs/datalist.md), sort its slices into stacks, and cut volumes into slices or gather them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from planewise.errors import InputError, refuse_no_datalist
from planewise.files.arrays import is_array, open_volume
from planewise.files.datalists import SECTIONS, item_with_paths, parsed_datalist, with_paths
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti
from planewise.phases import phase_name
from planewise.preprocessing.exam_name import exam_of

#: Keys of an item that determine its file and the part of the file to read.
_PLACE = ("image", "frame", "time", "affine")
#: Keys of an item that belong to its slice, not to its volume.
_OF_A_SLICE = ("frame", "label_frame", "affine", "slice", "location", "planes", "stack")


@lru_cache(maxsize=2)
def _parse(path: Path, modified: int) -> dict[str, Any]:
    content = parsed_datalist(path)
    for section in SECTIONS:
        items = content.get(section, []) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("image") for item in items):
            raise InputError(f"{path}: {section} must be a list of objects with an image")
    return content


def read_datalist(path: str | Path) -> dict[str, Any]:
    """The whole datalist, in the form that `planewise index` writes.

    Raises:
        InputError: there is no such file, or it is not a datalist.
    """
    path = Path(path).expanduser()
    refuse_no_datalist(path)
    try:
        return _parse(path.resolve(), path.stat().st_mtime_ns)
    except InputError as error:
        raise InputError(f"{error}; a datalist is a file from `planewise index`; index the folder again") from error


def load_datalist(
    path: str | Path, section: str, required: bool = False, view: str | None = None
) -> list[dict[str, Any]]:
    """The items of one section, or of all sections, with absolute paths.

    Args:
        path: the JSON file; its paths are relative to its own folder.
        section: ``"training"``, ``"validation"`` or ``"test"``; an absent section counts as empty. ``"all"`` returns
            the items of all three sections, each item once.
        required: whether an empty section is an error.
        view: the view that the images must show, ``"sax"`` or ``"4ch"``, if the datalist names one; None accepts any.

    Raises:
        InputError: see `read_datalist`; or the section is empty and required, or the images show another view.
    """
    content = read_datalist(path)
    header = content.get("planewise") or {}
    # a datalist without recognised views is accepted
    if view and header.get("stack", view) != view and header.get("views"):
        other = "--anatomy knee" if view == "sagittal" else f"--view {view}"
        raise InputError(
            f"the images of {path} show {header['stack']}, not {view}; index them again with `planewise index FOLDER {other}`"
        )
    folder = Path(path).expanduser().resolve().parent
    found = (item for one in (SECTIONS if section == "all" else [section]) for item in content.get(one, []))
    items = [item_with_paths(item, lambda file: str(folder / file)) for item in found]
    if section == "all":
        # an exam may be in two sections, like the test exams of DSBCC
        items = list({json.dumps(item, sort_keys=True): item for item in items}.values())
    if required and not items:
        filled = ", ".join(key for key in SECTIONS if content.get(key)) or "none"
        raise InputError(
            f"section {section} of {path} is empty (not empty: {filled}); index more exams, or use --split"
        )
    return items


def absolute_datalist(path: str | Path) -> dict[str, Any]:
    """A whole datalist with absolute paths, as input for `planewise.exams.write_datalist`.

    Raises:
        InputError: see `load_datalist`.
    """
    content, folder = read_datalist(path), Path(path).expanduser().resolve().parent
    known = {key: content[key] for key in ("planewise", *SECTIONS, "exams") if key in content}
    # a copy, because callers change these settings, and the file's content is cached
    known["planewise"] = dict(known.get("planewise", {}))
    return with_paths(known, lambda file: str(folder / file))


def rows_by_exam(items: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Map each exam to the indices of its items. The exams are in the order in which they first appear."""
    rows: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        rows[item["exam"]].append(index)
    return dict(rows)


def slice_position(item: Mapping[str, Any]) -> float:
    """The sort key of a stack's slices: the relative location of an item's slice, or, if the indexer could not
    distinguish the ends of the stack, its rank. An item with neither is refused."""
    location = item.get("location")
    if location is not None and math.isfinite(location):
        return float(location)
    if "slice" not in item:
        raise InputError(
            f"exam {item.get('exam', '?')}: an item has neither location nor slice; index the folder again"
        )
    return float(item["slice"])


def rows_by_stack(items: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[int]]:
    """Map each combination of exam, stack (if an item names none, its image file) and phase to the indices of its items, one
    for each slice, in stack order."""
    places: dict[tuple[str, str, str], dict[float, int]] = defaultdict(dict)
    for index, item in enumerate(items):
        phase = item.get("phase", 0.0)
        # rounded, because fractions of the cycle that should be equal may be computed from different counts
        phase = f"{phase:.6f}" if isinstance(phase, (int, float)) else str(phase)
        stack = str(item.get("stack") or item.get("image", ""))
        places[item["exam"], stack, phase].setdefault(slice_position(item), index)
    return {key: [rows[position] for position in sorted(rows)] for key, rows in places.items()}


def expand_volumes(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replace each whole volume (NIfTI, and MRNet's ``.npy``) by one item per slice; other items are unchanged. A volume that
    cannot be opened stays a single item, which fails with the reason when it is loaded."""
    slices: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item["image"], list):
            raise InputError(
                f"exam {exam_of(item)} has {len(item['image'])} channels, slices have one; index it with --channels NAME"
            )
        path = str(item["image"])
        if "affine" in item or "frame" in item or not is_whole_volume(path):
            slices.append(dict(item, exam=exam_of(item)))
            continue
        slices += [dict(item, exam=exam_of(item), frame=k, slice=k) for k in range(_depth(path))]
    return slices


def gather_stacks(items: Sequence[dict[str, Any]], name_phases: bool = False) -> list[dict[str, Any]]:
    """Merge the slices of each stack into one item, whose ``image`` lists the slices in order; other items are unchanged.

    The new item keeps the values that all slices of a stack share. If every slice has a mask, the item also has a
    ``label``: the file of the masks if they have the image's own grid (`whole_volumes`), otherwise a list of slices. With
    ``name_phases``, phases get names (``"phase40"`` for 0.4), so that files made from them have different names.
    """
    items = whole_volumes(items)
    slices = [dict(item, exam=exam_of(item)) for item in items if "affine" in item]
    volumes = [dict(item, exam=exam_of(item)) for item in items if "affine" not in item]
    for rows in rows_by_stack(slices).values():
        own = [slices[row] for row in rows]
        shared = {key: value for key, value in own[0].items() if all(item.get(key) == value for item in own)}
        volumes.append(
            {key: value for key, value in shared.items() if key not in (*_OF_A_SLICE, "time", "label", "label_axes")}
            | {"image": [{key: item[key] for key in _PLACE if key in item} for item in own]}
        )
        if all("label" in item for item in own):
            volumes[-1]["label"] = [
                {"image": item["label"], "frame": item.get("label_frame", item.get("frame"))}
                | {key: item[key] for key in ("affine", "label_axes", "label_origin") if key in item}
                for item in own
            ]
        if name_phases and "phase" in volumes[-1] and not isinstance(volumes[-1]["phase"], str):
            volumes[-1]["phase"] = phase_name(volumes[-1]["phase"])
    return volumes


def whole_volumes(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge the slices of each labelled volume into one item, for evaluation, if image and mask have the same grid. The item
    lacks the keys that belong to a slice (geometry, location). This reverses `expand_volumes`."""
    volumes: dict[tuple[str, str, Any], dict[str, Any]] = {}
    whole: list[dict[str, Any]] = []
    for item in items:
        same_grid = item.get("label_frame", item.get("frame")) == item.get("frame") and "label_axes" not in item
        if "affine" not in item or "label" not in item or not same_grid or not is_whole_volume(item["image"]):
            whole.append(item)
            continue
        key = (item["image"], item["label"], item.get("time"))
        if key not in volumes:
            volumes[key] = {name: value for name, value in item.items() if name not in _OF_A_SLICE}
            whole.append(volumes[key])
    return whole


def is_whole_volume(path: Any) -> bool:
    """Whether a file contains a whole stack: NIfTI, or MRNet's ``.npy``; False for a list with a file for each channel."""
    return is_nifti(path) or is_array(path)


def _depth(path: str) -> int:
    """The number of a volume's slices; 1 if it cannot be opened."""
    try:
        return open_volume(path).shape[0] if is_array(path) else (*open_nifti(path).shape, 1)[2]
    except UNREADABLE:
        return 1
