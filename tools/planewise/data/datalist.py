"""Read a datalist (tools/docs/datalist.md) and choose subjects from it."""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from planewise.early_checks import refuse_no_datalist
from planewise.errors import InputError
from planewise.files.arrays import is_array, open_volume
from planewise.files.datalists import SECTIONS, is_labelled, item_with_paths, parsed_datalist, with_paths
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti
from planewise.phases import phase_name
from planewise.preprocessing.exam_name import exam_of
from planewise.words import count_of, listed

logger = logging.getLogger(__name__)

#: Keys of an item that determine its file and the part of the file to read.
_PLACE = ("image", "frame", "time", "affine")
#: Keys of an item that belong to its slice, not to its volume.
_OF_A_SLICE = ("frame", "label_frame", "affine", "slice", "location", "planes", "stack")
#: A function that checks a value, and a description of valid values.
Form = tuple[Callable[[Any], bool], str]


def _finite(*rows: Any) -> bool:
    """Whether all lists contain only finite numbers. One sum is faster than a check of each number."""
    try:
        return math.isfinite(sum(map(sum, rows)))
    except (TypeError, OverflowError):
        return False


def _numbers(count: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == count and _finite(value)


def _is_affine(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(row, list) and len(row) == 4 for row in value)
        and _finite(*value)
    )


def _are_planes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(plane, dict)
        and plane.keys() >= {"origin", "normal"}
        and all(map(_POINT, plane.values()))
        and any(plane["normal"])
        for plane in value.values()
    )


def _is_label_map(value: Any) -> bool:
    return isinstance(value, dict) and all(
        type(new) is int and old.removeprefix("-").isdecimal() for old, new in value.items()
    )


def _is_path(value: Any) -> bool:
    return value != [] and all(isinstance(entry, str) for entry in _files(value))


_POINT = _numbers(3)
_OBJECT: Form = (lambda value: isinstance(value, dict), "an object")
_NAME: Form = (lambda value: isinstance(value, str), "a name")
_RANK: Form = (lambda value: type(value) is int and value >= 0, "a whole number that is not negative")
_NUMBER: Form = (lambda value: type(value) in (int, float) and _finite([value]), "a number")
#: Keys of an item; an organ's classes are not included.
_ITEM: Mapping[str, Form] = {
    "image": (_is_path, "a path"),
    "label": (_is_path, "a path"),
    "affine": (_is_affine, "four rows of four numbers"),
    "planes": (_are_planes, "an object that maps each view to its origin and normal"),
    "unknown_labels": (lambda value: isinstance(value, list), "a list of numbers"),
    "label_map": (_is_label_map, "an object that maps whole numbers, as texts, to whole numbers"),
    "phase": (lambda value: _NAME[0](value) or _NUMBER[0](value), "a number or a name"),
    "location": _NUMBER,
    **dict.fromkeys(("exam", "patient", "stack", "label_origin"), _NAME),
    **dict.fromkeys(("frame", "time", "slice", "label_frame"), _RANK),
}
_DATALIST: Mapping[str, Form] = {
    **dict.fromkeys(SECTIONS, (lambda value: isinstance(value, list), "a list of items")),
    "planewise": _OBJECT,
    "exams": _OBJECT,
}


@lru_cache(maxsize=2)
def _parse(path: Path, modified: int) -> dict[str, Any]:
    content = parsed_datalist(path)
    _check_forms(path, content)
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


def _check_forms(path: Path, content: Any) -> None:
    """Raise `InputError` if a datalist does not have the form that `planewise index` writes."""
    if not isinstance(content, dict):
        raise InputError(f"{path} contains a {type(content).__name__}; it must be an object with sections of items")
    _check_values(path, content, _DATALIST)
    for section in SECTIONS:
        _check_items(path, content.get(section, []), section)


def _check_items(path: Path, items: Sequence[Any], place: str) -> None:
    for number, item in enumerate(items):
        own = f"{place}, item {number}"
        _check(path, item, _OBJECT, own)
        if "image" not in item:
            raise InputError(f"{path}: {own} has no image")
        _check_values(path, item, _ITEM, own)


def _check_values(path: Path, holder: Mapping[str, Any], forms: Mapping[str, Form], place: str = "") -> None:
    for key in forms.keys() & holder.keys():
        if not forms[key][0](holder[key]):  # a datalist may have millions of items
            _check(path, holder[key], forms[key], f"{place}: {key}" if place else key)


def _check(path: Path, value: Any, form: Form, place: str) -> None:
    holds, wanted = form
    if not holds(value):
        raise InputError(f"{path}: {place} is {value!r:.40}; it must be {wanted}")


def load_datalist(
    path: str | Path, section: str, required: bool = False, view: str | None = None
) -> list[dict[str, Any]]:
    """The items of one section, or of all sections, with absolute paths.

    Args:
        path: the JSON file; its paths are relative to its own folder.
        section: ``"training"``, ``"validation"`` or ``"test"``; an absent section counts as empty. ``"all"`` returns
            the items of all three sections, each item once.
        required: whether an empty section is an error.
        view: the view that the images must show, ``"sax"`` or ``"4ch"``. It is checked if the datalist names a view.
            None accepts any view.

    Raises:
        InputError: see `read_datalist`; or the section is empty and required, or the images show another view.
    """
    content = read_datalist(path)
    if view:
        _check_view(path, content, view)
    folder = Path(path).expanduser().resolve().parent
    if section == "all":
        found = [item for one in SECTIONS for item in _items_of(folder, content, one)]
        # an exam may be in two sections, like the test exams of DSBCC
        items = list({json.dumps(item, sort_keys=True): item for item in found}.values())
    else:
        items = _items_of(folder, content, section)
    if required and not items:
        filled = ", ".join(key for key in SECTIONS if content.get(key)) or "none"
        raise InputError(
            f"section {section} of {path} is empty (sections with exams: {filled}); index more exams, or move some with "
            "--split"
        )
    return items


def _items_of(folder: Path, content: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    return [item_with_paths(item, lambda path: str(folder / path)) for item in content.get(section, [])]


def _check_view(path: str | Path, content: Mapping[str, Any], view: str) -> None:
    """Raise `InputError` if a datalist shows another view. A datalist without recognised views is accepted."""
    stack = (content.get("planewise") or {}).get("stack", view)
    if stack != view and (content.get("planewise") or {}).get("views"):
        other = "--anatomy knee" if view == "sagittal" else f"--view {view}"
        raise InputError(
            f"the images of {path} show the view {stack}, but this bundle takes {view}; index the exams again with "
            f"`planewise index FOLDER {other}`"
        )


def _files(value: Any) -> list[Any]:
    """The files of an image: a single file, or a file for each channel."""
    return value if isinstance(value, list) else [value]


def absolute_datalist(path: str | Path) -> dict[str, Any]:
    """A whole datalist with absolute paths, as input for `planewise.exams.write_datalist`.

    Raises:
        InputError: see `load_datalist`.
    """
    content = read_datalist(path)
    folder = Path(path).expanduser().resolve().parent
    known = {key: content[key] for key in ("planewise", *SECTIONS, "exams") if key in content}
    # a copy, because callers change these settings, and the file's content is cached
    known["planewise"] = dict(known.get("planewise", {}))
    return with_paths(known, lambda file: str(folder / file))


def select_subjects(
    items: Sequence[dict[str, Any]], num_subjects: int | None, seed: int = 0, having: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The items of a random selection of exams.

    The seed alone determines an order of the exams, and the first ``num_subjects`` are taken. With the same seed, a
    larger selection therefore contains every smaller one, and pretrained and scratch runs see the same exams.

    Args:
        items: items of a datalist's section.
        num_subjects: number of exams; None takes all.
        seed: seed of the draw.
        having: keys of labels; exams that have none of these keys are excluded from the draw. If it is empty, all exams
            take part.

    Raises:
        InputError: more exams are requested than there are.
    """
    if num_subjects is None:
        return list(items)
    exams = sorted({exam_of(item) for item in items if not having or any(key in item for key in having)})
    if not 0 < num_subjects <= len(exams):
        of_what = f" with {' or '.join(having)}" if having else ""
        raise InputError(
            f"{num_subjects} subjects were requested, but the section has {len(exams)}{of_what}; set --num_subjects to at "
            "least 1 and at most this number"
        )
    order = torch.randperm(len(exams), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = {exams[index] for index in order[:num_subjects]}
    return [item for item in items if exam_of(item) in chosen]


def labelled(
    items: Sequence[dict[str, Any]], structures: Mapping[int | str, str], only: bool = False
) -> list[dict[str, Any]]:
    """The items that have a mask, checked as in `checked_masks`; in a cine, two phases usually have one."""
    return [item for item in checked_masks(items, structures, only) if "label" in item]


def checked_masks(
    items: Sequence[dict[str, Any]], structures: Mapping[int | str, str], only: bool = False
) -> list[dict[str, Any]]:
    """All items, also those without a mask, if a network can learn from the masks.

    Args:
        items: items of a datalist's section.
        structures: maps the label values to the names of all structures that a mask must contain. Callers treat other
            structures as background, or refuse them.
        only: whether to refuse masks that have other values, as far as the datalist records them (``unknown_labels``).

    Raises:
        InputError: there are items, but none has a mask; a mask was predicted by a network; the ``label_map`` of a data set
            lacks a structure, so that the network would learn the structure's pixels as background; or masks have other
            values (the message names all these masks).
    """
    found = [item for item in items if "label" in item]
    if items and not found:
        raise InputError(
            f"none of the {len(items)} images has a mask (label); add your own masks with `planewise index --labels "
            "FOLDER`"
        )
    others: dict[str, set[int]] = defaultdict(set)
    for item in found if only else ():
        if wrong := {*item.get("unknown_labels", ())} - {*map(int, structures)}:
            others[exam_of(item)] |= wrong  # not the file, because its name may contain a person's name
    if others:
        each = "; ".join(f"exam {exam}: {listed([*map(str, sorted(values))])}" for exam, values in others.items())
        known = listed([f"{value} ({name})" for value, name in structures.items()])
        raise InputError(
            f"masks of {count_of(len(others), 'exam')} have values other than {known}: {each}; rename the values with "
            "`planewise index --label-map`, name them in --structures, or take these masks out and index again"
        )
    for item in found:
        if not is_labelled(item):
            raise InputError(
                f"exam {exam_of(item)}: its mask was predicted by a network (`planewise segment`), and segmentation is"
                " never trained or evaluated on such masks; take the predicted masks out of the folder and index it again; "
                "or copy those that are right to NAME_mask_corrected.nii.gz"
            )
        known = {int(value) for value in (item.get("label_map") or {}).values()}
        lacking = [name for value, name in structures.items() if known and int(value) not in known]
        if lacking:
            raise InputError(
                f"exam {exam_of(item)}: no value of its mask becomes {' or '.join(lacking)}; name it in --label-map, or, if "
                "masks of this data set do not have it, name the structures that they have with --structures"
            )
    return list(items)


def maskable(items: Sequence[dict[str, Any]], structures: Mapping[int | str, str]) -> dict[int | str, str]:
    """The structures that the masks of all items can have, so that they can be scored: those that every ``label_map`` names.
    If there is none, all structures, for the message of `checked_masks`.

    Args:
        items: items of a datalist's section.
        structures: maps the label values of the network to the names of its structures.
    """
    known = [{*map(int, item["label_map"].values())} for item in items if item.get("label_map")]
    kept = {value: name for value, name in structures.items() if all(int(value) in values for values in known)}
    if lacking := [name for name in structures.values() if name not in kept.values()]:
        logger.warning("structures that are not scored, because the masks cannot contain them: %s", ", ".join(lacking))
    return kept or dict(structures)


def rows_by_exam(items: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Map each exam to the indices of its items. The exams are in the order in which they first appear."""
    rows: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        rows[item["exam"]].append(index)
    return dict(rows)


def slice_position(item: Mapping[str, Any]) -> float:
    """The sort key of a stack's slices: the relative location of an item's slice, or the slice's rank in the stack if the
    item has no location.

    If the indexer could not distinguish the ends of a stack, none of its slices has a location; otherwise all have one.

    Raises:
        InputError: the item has neither a location nor a rank.
    """
    location = item.get("location")
    if location is not None and math.isfinite(location):
        return float(location)
    if "slice" not in item:
        raise InputError(
            f"exam {item.get('exam', '?')}: an item has neither location nor slice; index the folder again"
        )
    return float(item["slice"])


def rows_by_stack(items: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[int]]:
    """Map each combination of exam, stack and phase to the indices of its items, one for each slice, in stack order.

    If an item names no stack, its image file identifies the stack, because an exam may have several volumes.
    """
    places: dict[tuple[str, str, str], dict[float, int]] = defaultdict(dict)
    for index, item in enumerate(items):
        phase = item.get("phase", 0.0)
        # rounded, because fractions of the cycle that should be equal may be computed from different counts
        phase = f"{phase:.6f}" if isinstance(phase, (int, float)) else str(phase)
        stack = str(item.get("stack") or item.get("image", ""))
        places[item["exam"], stack, phase].setdefault(slice_position(item), index)
    return {key: [rows[position] for position in sorted(rows)] for key, rows in places.items()}


def expand_volumes(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replace each whole volume (NIfTI, and MRNet's ``.npy``) by one item per slice; other items are unchanged.

    A volume that cannot be opened stays a single item: when it is loaded, only this volume fails, with the reason.
    """
    slices: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item["image"], list):
            raise InputError(
                f"exam {exam_of(item)} has {len(item['image'])} channels, each in its own file, but slices need a "
                "single channel; index the folder again with --channels NAME"
            )
        path = str(item["image"])
        if "affine" in item or "frame" in item or not is_whole_volume(path):
            slices.append(dict(item, exam=exam_of(item)))
            continue
        slices += [dict(item, exam=exam_of(item), frame=k, slice=k) for k in range(_depth(path))]
    return slices


def gather_stacks(items: Sequence[dict[str, Any]], name_phases: bool = False) -> list[dict[str, Any]]:
    """Merge the slices of each stack into one item, whose ``image`` lists the slices in order; other items are unchanged.

    Args:
        items: items of a datalist.
        name_phases: whether phases get names (``"phase40"`` for 0.4), so that files made from them have different names.

    The new item keeps the values that all slices of a stack share. If every slice has a mask, the item also has a
    ``label``: the file of the masks if they have the image's own grid (`whole_volumes`), otherwise a list of slices.
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
    """Merge the slices of each labelled volume into one item, for evaluation. This reverses `expand_volumes`.

    Args:
        items: items of a datalist. If a NIfTI image and its mask have the same grid, their slices become one item,
            which lacks the keys that belong to a slice (geometry, location). Other items are unchanged.
    """
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
        if is_array(path):
            return open_volume(path).shape[0]
        shape = open_nifti(path).shape
    except UNREADABLE:
        return 1
    return shape[2] if len(shape) > 2 else 1
