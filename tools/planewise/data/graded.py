"""The items of a datalist that have a grade."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from planewise.errors import InputError

logger = logging.getLogger(__name__)


def graded(items: Sequence[dict[str, Any]], key: str, grades: int, required: bool = False) -> list[dict[str, Any]]:
    """The items that have a valid grade. The log counts the others.

    Args:
        items: items of a datalist's section.
        key: key of the grade.
        grades: number of possible grades; a grade is a whole number from 0 to ``grades - 1``.
        required: whether it is an error if no item is left.

    Raises:
        InputError: no item has a valid grade, and ``required`` is true; or the grades begin at 1.
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
    if grades in found and 0 not in found:
        raise InputError(f"the grades go from 1 to {grades}, but must go from 0 to {grades - 1}: subtract 1 from each")
    told = "; ".join(f"{count} {reason}" for reason, count in problems.items())
    if required and not kept:
        raise InputError(
            f"no photograph can be used for training: {told or 'there are no photographs'}; add grades with `planewise index"
            " --anatomy photograph --classes FILE.csv`, or name their key with --class_key"
        )
    if problems:
        logger.info("of %d photographs, these are left out: %s", len(items), told)
    return kept
