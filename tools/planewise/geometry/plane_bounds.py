"""Calibrate bounds for the error of planned planes, on planes whose errors are known."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Bound(NamedTuple):
    """A bound for the error of a plane, in degrees or in mm: ``sqrt(base^2 + (factor moved)^2)``.

    ``moved`` is the jack-knife standard error of the plane (`PlannedPlane.angle_sd`, `PlannedPlane.offset_sd`), which
    measures how much its slices disagree. ``base`` is the error that all slices share, for example because the network
    misjudges the heart; the disagreement of the slices does not show it.
    """

    base: float
    """Degrees or mm."""
    factor: float
    """Factor of the jack-knife standard error."""

    def at(self, moved: float) -> float:
        """The bound of a plane with this jack-knife standard error; NaN if the standard error is unknown."""
        return math.hypot(self.base, self.factor * moved)


def calibrated_bound(errors: Tensor, moved: Tensor, share: float = 0.9) -> Bound:
    """Calibrate a bound that holds for a given share of planes.

    The errors are assumed to be normal, with the variance ``a^2 + (b moved)^2``, and ``b / a`` is chosen to maximise the
    likelihood. Then a and b are multiplied by a quantile, so that the share is right for any distribution of the errors:
    the ``ceil((n + 1) share)``-th smallest of the ``n`` ratios of error and standard deviation (split conformal
    prediction: Papadopoulos 2002; Lei 2018, section 5.2).

    Args:
        errors: errors of the planes, ``(N,)``, degrees or mm, not negative.
        moved: jack-knife standard errors of the planes, ``(N,)``, in the same unit. Planes with a NaN in either value
            are left out.
        share: share of the planes for which the bound should hold.

    Returns:
        The bound; its values are NaN if there are too few planes for the quantile (a share of 0.9 needs 9 planes).
    """
    known = torch.isfinite(errors) & torch.isfinite(moved)
    errors, moved = errors[known].to(torch.float64), moved[known].to(torch.float64)
    count = len(errors)
    rank = math.ceil((count + 1) * share)
    if rank > count:
        return Bound(math.nan, math.nan)
    typical = moved.median().clamp_min(1e-9)
    # candidates for b / a, in units of a typical standard error, from negligible to dominant
    ratios = torch.cat([torch.zeros(1), torch.logspace(-2, 2, 81)]).to(moved) / typical
    shapes = torch.hypot(torch.ones_like(moved), ratios[:, None] * moved)
    # for each candidate, the scale that maximises the likelihood is the root mean square of the scaled errors
    scales = (errors / shapes).square().mean(dim=1).sqrt().clamp_min(1e-12)
    best = (shapes.log().mean(dim=1) + scales.log()).argmin()
    quantile = float((errors / shapes[best]).sort().values[rank - 1])
    return Bound(quantile, quantile * float(ratios[best]))
