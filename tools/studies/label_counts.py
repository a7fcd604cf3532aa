"""Refuse a study that needs more labelled training exams than its datalist has.

    python tools/studies/label_counts.py work/labelled.json 1 4 16

With ``--folds``, validation exams count, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.files.datalists import labelled_exams, parsed_datalist
from planewise.words import count_of


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
    """Stop if the largest number of labelled exams exceeds `labelled_exams`.

    Args:
        counts: the study's ``label_counts``.
        datalist: the datalist of labelled exams. If it is empty, nothing is refused: an estimate without data has such a
            datalist, and an index without exams stops by itself.
        folds: whether a cross-validation takes its training exams from the validation section, too.

    Raises:
        InputError: there are too few exams, or the file is not a datalist.
    """
    most = labelled_exams(parsed_datalist(datalist), "training", *["validation"] * folds)
    if most and max(counts) > most:
        raise InputError(wrong_count("label_counts", max(counts), datalist, most))


if __name__ == "__main__":
    file, *rest = sys.argv[1:]
    try:
        refuse_too_many([int(text) for text in rest if text != "--folds"], Path(file), "--folds" in rest)
    except InputError as error:
        sys.exit(f"planewise: {error}")
