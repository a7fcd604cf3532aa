"""Refuse a study that needs more labelled training exams than its datalist has.

    python tools/studies/label_counts.py work/labelled.json 1 4 16

With ``--folds``, validation exams count, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.words import count_of
from planewise.text_files import read_json

#: The keys of an item that may contain the label of a target that `planewise compare` trains, by anatomy.
LABELS = {
    "cardiac": ("label",),
    "knee": ("abnormal", "acl", "meniscus"),
    "photograph": ("grade",),
    "volume": ("label",),
}
#: Keys of the labels that bundles learn from; an exam needs one of them. The group is a heart's diagnosis.
_ANY_LABEL = {"group"}.union(*LABELS.values())


def wrong_count(setting: str, count: int, datalist: Path, most: int, least: int = 1) -> str:
    """A message about a number of labelled exams that a datalist does not have.

    Args:
        setting: the option or setting with the number.
        count: the number.
        datalist: the datalist of labelled exams.
        most, least: the numbers that are possible.
    """
    range_of = f"give {least} to {most}" if most >= least else "add labelled exams to its training section"
    return f"{setting} {count}: {datalist} has {count_of(most, 'labelled training exam')}; {range_of}"


def refuse_too_many(counts: Sequence[int], datalist: Path, folds: bool = False) -> None:
    """Stop if the largest number of labelled exams exceeds the training exams.

    Args:
        counts: the study's ``label_counts``.
        datalist: the datalist of labelled exams. If none of its exams has a known label, all of them count; an empty
            one is accepted.
        folds: whether a cross-validation takes its training exams from the validation section, too.

    Raises:
        InputError: there are too few exams, or the file is not a datalist.
    """
    content = read_json(datalist, "a datalist")
    items = []
    for section in ("training", "validation") if folds else ("training",):
        found = content.get(section) if isinstance(content, dict) else None
        items += [item for item in found or () if isinstance(item, dict)]
    if not items:
        return  # an estimate without data has an empty datalist; an index without exams stops by itself
    with_labels = [item for item in items if _ANY_LABEL & item.keys()] or items
    # an exam has several images; an item without an exam is a person's own file
    exams = {item.get("exam") or str(item.get("image")) for item in with_labels}
    if max(counts) > len(exams):
        raise InputError(wrong_count("label_counts", max(counts), datalist, len(exams)))


if __name__ == "__main__":
    file, *rest = sys.argv[1:]
    try:
        refuse_too_many([int(text) for text in rest if text != "--folds"], Path(file), "--folds" in rest)
    except InputError as error:
        sys.exit(f"planewise: {error}")
