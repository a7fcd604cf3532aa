"""Combine the numbers of several runs and format them for a table's cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student


def pooled(summaries: Sequence[Mapping[str, float | None]], counts: Sequence[int]) -> dict[str, float | None]:
    """Mean and standard deviation of all values of several groups, from those of each group.

    Args:
        summaries: ``mean`` and ``sd`` of each group's values; groups without a mean are left out, and a single value has
            no ``sd``. An unknown ``sd`` is NaN, and so is the result.
        counts: number of values in each group.

    With ``n_g`` values in group g, the mean is ``sum n_g m_g / sum n_g``, and the variance ``sum n_g (s_g^2 + m_g^2) /
    sum n_g`` minus its square.
    """
    known = [(entry, count) for entry, count in zip(summaries, counts, strict=True) if entry["mean"] is not None]
    if not known:
        return {"mean": None, "sd": None}
    means, deviations = (np.array([entry[name] or 0.0 for entry, _ in known]) for name in ("mean", "sd"))
    weights = np.array([count for _, count in known], dtype=float)
    mean = np.average(means, weights=weights)
    variance = np.average(deviations**2 + (means - mean) ** 2, weights=weights)
    alone = len(known) == 1 and known[0][0]["sd"] is None
    return {"mean": float(mean), "sd": None if alone else float(np.sqrt(variance))}


def spread(entry: Mapping[str, float | None]) -> str:
    """Mean (standard deviation): three decimals below 1, two from 1 on; only the mean of a single value; "-" if there is no
    mean, and in place of a standard deviation that is NaN, which is unknown."""
    mean, deviation = entry["mean"], entry["sd"]
    if mean is None or not math.isfinite(mean):
        return "-"
    digits = 3 if mean < 1 else 2
    if deviation is None:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({'-' if math.isnan(deviation) else f'{deviation:.{digits}f}'})"


def over_draws(values: Iterable[float | None], digits: int = 3) -> str:
    """Mean (standard deviation) of the draws with known values; only the mean for one draw, "-" for none.

    Args:
        values: value of each draw; None if unknown.
        digits: number of decimals.

    The draws are a sample, so this is the sample standard deviation (dividing by n - 1).
    """
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


class PairedCases(NamedTuple):
    """Differences between two methods over the cases for which both have a score.

    Attributes:
        differences: the mean over the pairs of each draw, ``(draws,)``; draws without a pair are left out.
        pairs: number of cases, with or without scores, in the draws that both methods have.
        left_out: number of these cases without a score of both methods.
    """

    differences: np.ndarray
    pairs: int
    left_out: int


def paired_cases(scores: Mapping[int, np.ndarray], baseline: Mapping[int, np.ndarray]) -> PairedCases:
    """A method's scores minus the baseline's, case by case, for the draws that both have.

    Args:
        scores, baseline: maps each draw to the scores of its cases, arrays of one shape for both methods; NaN where a method
            has no score.
    """
    shared = sorted(scores.keys() & baseline.keys())
    differences = [scores[draw] - baseline[draw] for draw in shared]
    known = [values[np.isfinite(values)] for values in differences]
    pairs = sum(values.size for values in differences)
    means = np.array([values.mean() for values in known if values.size])
    return PairedCases(means, pairs, pairs - sum(values.size for values in known))


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean of paired differences, by Student's t over the draws; NaN for fewer than two.

    Args:
        differences: ``(draws,)``.
    """
    if len(differences) < 2:
        return math.nan, math.nan
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    half = float(student.ppf(0.975, len(differences) - 1)) * error
    return float(differences.mean() - half), float(differences.mean() + half)
