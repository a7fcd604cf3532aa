"""Find mistakes in a study's datalists before the study starts, without reading an image."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from planewise.files.datalists import SECTIONS, items_in
from planewise.words import count_of, did_you_mean, listed, nearest

#: Keys of a datalist; `parsed_datalist` turns MONAI's `testing` into `test`, unless there are both.
_KNOWN = (*SECTIONS, "testing", "planewise", "exams")
#: Keys of an item that name files.
_FILES = ("image", "label")
#: Section of an exam that is meant for validation and test, as `planewise index` writes it for DSBCC.
_BOTH = "validation and test"
#: Largest number of images, and of masks, whose files are looked for. If there are more, every n-th is.
_MOST = 2000


def wrong_sections(datalist: Path, content: Any, needed: Sequence[str]) -> list[str]:
    """What is wrong with the sections of a datalist. A datalist without any item is accepted, because
    an estimate may have only such a datalist.

    Args:
        datalist: path of the datalist.
        content: the JSON in it, from `planewise.files.datalists.parsed_datalist`.
        needed: the sections from which the study learns or that it scores.
    """
    if not isinstance(content, Mapping):
        return [f"{datalist} contains a {type(content).__name__}; it must be an object with sections of items"]
    # MONAI's own lists have further keys, such as `name` and `modality`
    lists = [key for key, value in content.items() if key not in _KNOWN and isinstance(value, list)]
    unknown = [key for key in lists if nearest(key, SECTIONS) or items_in(content, key)]
    wrong = [
        f"{datalist} has an unknown section {key}{did_you_mean(nearest(key, SECTIONS))}; "
        f"the sections are {', '.join(SECTIONS)}"
        for key in unknown
    ]
    found = {name: items_in(content, name) for name in SECTIONS}
    filled = [name for name in SECTIONS if found[name]]
    if filled and not unknown:
        wrong += [
            f"section {name} of {datalist} is empty (sections with exams: {listed(filled)}), and the study needs it; index "
            "more exams, or divide them again with `planewise index --sections FILE`"
            for name in needed
            if name in found and not found[name]
        ]
    return [*wrong, *_in_two_sections(datalist, content, found)]


def missing_files(datalist: Path, content: Any) -> str:
    """A message about files of a datalist that do not exist; empty if all files that are looked for exist.

    Args:
        datalist: path of the datalist, to whose folder its paths are relative.
        content: the JSON in it.
    """
    folder = datalist.resolve().parent
    looked, absent = 0, []
    for key in _FILES:
        named = [item[key] for item in items_in(content, *SECTIONS) if key in item]
        # an image of several channels has a list of files
        files = [*dict.fromkeys(file for entry in named for file in (entry if isinstance(entry, list) else [entry]))]
        # a label without an ending and without a folder may be a class
        files = [file for file in files if isinstance(file, str) and (key == "image" or re.search(r"[./\\]", file))]
        files = files[:: 1 + len(files) // _MOST]
        looked += len(files)
        absent += [file for file in files if not os.path.exists(folder / file)]
    if not absent:
        return ""
    return (
        f"{count_of(len(absent), 'file')} of {datalist} {'does' if len(absent) == 1 else 'do'} not exist, of {looked} that "
        f"were looked for: {absent[0]}{', ...' if len(absent) > 1 else ''}. Correct the paths, which are relative to the "
        "datalist's folder, or index the images again"
    )


def _in_two_sections(
    datalist: Path, content: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[str]:
    """Exams in several sections and, if there are none, patients."""
    exams = content.get("exams")
    both = (
        {name for name, exam in exams.items() if exam.get("section") == _BOTH} if isinstance(exams, Mapping) else set()
    )
    for key in ("exam", "patient"):
        places: dict[str, dict[str, None]] = defaultdict(dict)
        for section, items in found.items():
            for item in items:
                name = item.get(key) or (str(item.get("image")) if key == "exam" else "")
                if name and not (section == "validation" and item.get("exam") in both):
                    places[str(name)][section] = None
        shared = {name: [*sections] for name, sections in places.items() if len(sections) > 1}
        if shared:
            name, sections = next(iter(shared.items()))
            yield (
                f"{datalist} has {count_of(len(shared), key)} in several sections, such as {name} in {listed(sections)}, so "
                f"the scores would be too good; keep each {key} in one section"
            )
            return
