"""Combine the numbers of several draws, and judge paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.stats import t as student

#: The verdict on a difference without an interval.
ONE_DRAW = "no verdict from one draw"


def over_draws(values: Iterable[float | None], digits: int = 3) -> str:
    """Mean (standard deviation) of the draws with known values; only the mean for one draw, "-" for none. The draws are a
    sample, so this is the sample standard deviation (dividing by n - 1)."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ({np.std(known, ddof=1):.{digits}f})" if len(known) > 1 else ""
    return f"{np.mean(known):.{digits}f}{deviation}"


def paired_differences(scores: Mapping[int, float], baseline: Mapping[int, float]) -> np.ndarray:
    """A method's score minus the baseline's, shape ``(draws,)``, for the draws that both have, in order.

    With few labelled exams, most of the spread comes from the choice of exams; both methods of a draw see the same exams.
    """
    return np.array([scores[draw] - baseline[draw] for draw in sorted(scores.keys() & baseline.keys())])


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean of paired differences, ``(draws,)``, by Student's t; NaN for fewer than two."""
    if len(differences) < 2:
        return math.nan, math.nan
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    half = float(student.ppf(0.975, len(differences) - 1)) * error
    return float(differences.mean() - half), float(differences.mean() + half)


def verdict(differences: np.ndarray) -> str:
    """``"better"`` or ``"worse"`` if the interval excludes zero, ``"inconclusive"`` if it contains zero, `ONE_DRAW` if there
    is no interval."""
    low, high = interval(differences)
    if math.isnan(low):
        return ONE_DRAW
    return "inconclusive" if low <= 0 <= high else "better" if low > 0 else "worse"
