"""Batches of photographs, and the photographs that have a grade."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from planewise.data.slice_cache import SliceCache
from planewise.data.slice_dataset import SliceDataset
from planewise.errors import InputError
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)


class PhotographCache(SliceCache):
    """A `SliceCache` whose items are photographs, ``(channels, i, j)``, stored as float16, one row for each."""

    noun, shape, loader = "photograph", "(channels, i, j)", "LoadPhotographd"
    # decoding a photograph of some megapixels costs as much as preprocessing ten slices
    items_per_worker = 4

    @staticmethod
    def row_of(array: np.ndarray) -> np.ndarray | None:
        return array if array.ndim == 3 else None


class PhotographDataset(SliceDataset):
    """Preprocessed photographs, read in whole batches: a `SliceDataset` of colour images.

    A batch is a dictionary of tensors: ``image`` ``(B, 3, i, j)`` float32, ``affine`` ``(B, 4, 4)`` float64,
    ``image_padding`` ``(B, 3)``, the targets, and ``index`` ``(B,)`` into `items`; all on one device.

    The arguments are those of `SliceDataset`; ``transform`` must begin with `LoadPhotographd`.
    """

    cache_class = PhotographCache

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [dict(item, exam=exam_of(item)) for item in data]


def graded(items: Sequence[dict[str, Any]], key: str, grades: int, required: bool = False) -> list[dict[str, Any]]:
    """The items that have a valid grade. The log counts the others.

    Args:
        items: items of a datalist's section.
        key: key of the grade.
        grades: number of possible grades; a grade is a whole number from 0 to ``grades - 1``.
        required: whether it is an error if no item is left.

    Raises:
        InputError: no item has a valid grade, and ``required`` is true; or the grades seem to begin at 1.
    """
    kept, problems = [], Counter()
    for item in items:
        grade = item.get(key)
        if grade is None:
            problems[f"without a grade ({key})"] += 1
        elif isinstance(grade, bool) or not isinstance(grade, int) or not 0 <= grade < grades:
            problems[f"with the grade {grade!r}, which must be in 0..{grades - 1}"] += 1
        else:
            kept.append(item)
    found = [item.get(key) for item in items]
    # in a small section, 0 may be absent by chance, and the highest value may be a slip or a code
    if 0 not in found and grades in found and (required or all(grade in found for grade in range(1, grades))):
        raise InputError(
            f"no photograph has the grade 0, but some have {grades}. Grades must go from 0 to {grades - 1}: subtract 1 from "
            f"each, or, if only {grades} is wrong, correct or delete it"
        )
    told = "; ".join(f"{count} {reason}" for reason, count in problems.items())
    if required and not kept:
        raise InputError(
            f"no photograph can be used for training: {told or 'there are no photographs'}; add grades with `planewise index"
            " --anatomy photograph --classes FILE.csv`, or name their key with --class_key"
        )
    if problems:
        logger.info("of %d photographs, these are left out: %s", len(items), told)
    return kept
