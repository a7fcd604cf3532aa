"""The form of a datalist: its sections, and the keys of its items. Nothing imported here takes long, because studies read
datalists before they start."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.files.text import read_json

#: The sections of a datalist.
SECTIONS = ("training", "validation", "test")
#: Keys of an item whose values are paths.
PATH_KEYS = ("image", "label")
#: Keys of an item that are not allowed as names of a class.
RESERVED = {
    "image", "frame", "affine", "planes", "location", "exam", "patient", "stack", "slice", "phase", "label",
    "label_frame", "label_axes", "label_map", "label_origin", "unknown_labels", "time", "shift",
}  # fmt: skip
#: Value of ``label_origin`` for a mask that a network predicted; manual masks have none.
PREDICTED = "predicted"
#: Value of ``label_origin`` for a mask from a viewer of MONAI Label, whose values are numbers in the server's list of labels.
VIEWER = "viewer"
#: The keys of an item that may contain the label of a target that `planewise compare` trains, by anatomy.
LABELS = {
    "cardiac": ("label",),
    "knee": ("abnormal", "acl", "meniscus"),
    "photograph": ("grade",),
    "volume": ("label",),
}
#: Keys of the labels that bundles learn from; an exam needs one of them. The group is a heart's diagnosis.
ANY_LABEL = {"group"}.union(*LABELS.values())


def parsed_datalist(path: Path) -> Any:
    """The JSON in a datalist (`read_json`), which is parsed once until the file changes, so callers must not change it."""
    path = path.expanduser().resolve()
    return _parse(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _parse(path: Path, modified: int) -> Any:
    # JSON has no reference cycles, and the search for them takes longer than parsing millions of items
    collects = gc.isenabled()
    gc.disable()
    try:
        content = read_json(path)
    finally:
        if collects:
            gc.enable()
    if isinstance(content, dict) and "test" not in content and "testing" in content:
        content["test"] = content.pop("testing")  # MONAI's name for the section
    return content


def channels_in(datalist: str | Path) -> list[str]:
    """The names of an image's channels in a datalist, in order; empty if it has none or cannot be read."""
    with suppress(InputError, OSError, AttributeError):  # the last one if it is no datalist
        names = parsed_datalist(Path(datalist)).get("planewise").get("channels")
        return list(map(str, names)) if isinstance(names, list) else []
    return []


def items_in(content: Any, *sections: str) -> list[Mapping[str, Any]]:
    """The items in sections of a datalist; what is not an item is left out."""
    found = (content.get(section) for section in sections) if isinstance(content, Mapping) else ()
    return [item for items in found if isinstance(items, list) for item in items if isinstance(item, Mapping)]


def exams_in(content: Any, *sections: str, labelled: bool = False, keys: Collection[str] = ANY_LABEL) -> int:
    """The number of exams in sections of a datalist, or only of those with a label in one of ``keys``."""
    items = (item for item in items_in(content, *sections) if not labelled or not item.keys().isdisjoint(keys))
    # an exam has several images; an item without an exam is a person's own file
    return len({item.get("exam") or str(item.get("image")) for item in items})


def labelled_exams(content: Any, *sections: str) -> int:
    """The number of exams from which a study draws: the labelled ones, or all if none has a known label."""
    return exams_in(content, *sections, labelled=True) or exams_in(content, *sections)


def is_labelled(item: Mapping[str, object]) -> bool:
    """Whether an item has a mask that counts as a label: a predicted mask is none until a person has checked it."""
    return "label" in item and item.get("label_origin") != PREDICTED


def item_with_paths(item: dict, change: Callable[[str], str]) -> dict:
    """The item with every path replaced by ``change(path)``."""
    paths = {key: item[key] for key in PATH_KEYS if key in item}
    # the value is a list if each channel has its own file
    return item | {key: [*map(change, of)] if isinstance(of, list) else change(of) for key, of in paths.items()}


def with_paths(datalist: dict, change: Callable[[str], str]) -> dict:
    """The datalist with every path replaced by ``change(path)``."""
    changed = partial(item_with_paths, change=change)
    exams = {}
    for name, exam in datalist.get("exams", {}).items():
        stacks = {
            key: stack | {"items": [*map(changed, stack["items"])]} if "items" in stack else stack
            for key, stack in exam.get("stacks", {}).items()
        }
        exams[name] = exam | {"stacks": stacks}
    sections = {section: [*map(changed, datalist.get(section, []))] for section in SECTIONS}
    return datalist | sections | {"exams": exams}
