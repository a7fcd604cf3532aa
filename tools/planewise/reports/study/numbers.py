"""Numbers of several runs as one, and as the text of a cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def pooled(summaries: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean and standard deviation of all values of equally large groups, from those of each group.

    The variance of all is the mean of the groups' variances and the variance of their means. Groups without a mean are
    left out.
    """
    known = [entry for entry in summaries if entry["mean"] is not None]
    if not known:
        return {"mean": None, "sd": None}
    means = np.array([entry["mean"] for entry in known])
    deviations = np.array([entry["sd"] for entry in known])
    return {"mean": float(means.mean()), "sd": float(np.sqrt((deviations**2).mean() + means.var()))}


def spread(entry: Mapping[str, float | None]) -> str:
    """Mean (standard deviation): three digits after the point below 1, two from there on; "-" if there is no mean."""
    mean = entry["mean"]
    if mean is None or not math.isfinite(mean):
        return "-"
    return f"{mean:.3f} ({entry['sd']:.3f})" if mean < 1 else f"{mean:.2f} ({entry['sd']:.2f})"


def over_draws(values: Iterable[float | None], ddof: int = 1) -> str:
    """Mean (standard deviation) of the draws whose value is known; the mean alone of one draw, "-" of none.

    Args:
        values: one of each draw.
        ddof: 1 for the deviation of the population that the draws are from, 0 for that of these draws.
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ({np.std(known, ddof=ddof):.3f})" if len(known) > ddof else ""
    return f"{np.mean(known):.3f}{deviation}"


def published(value: tuple[float, float] | None) -> str:
    """A paper's mean (standard deviation), as printed there; nothing where the paper has none."""
    return f"{value[0]:.3f} ({value[1]:.3f})" if value else ""


def paired_differences(scores: Mapping[int, float], baseline: Mapping[int, float]) -> np.ndarray:
    """A method's score less the baseline's, shape ``(draws,)``, for the draws that both have, in their order.

    Most of the spread at few labelled exams is which exams they were; both methods of a draw see the same ones.
    """
    return np.array([scores[draw] - baseline[draw] for draw in sorted(scores.keys() & baseline.keys())])
