"""Test error bounds: quantiles by hand, and the share of new planes within them."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.geometry import Bound, calibrated_bound


def test_a_bound_adds_what_slices_show_to_what_they_cannot():
    assert Bound(3.0, 2.0).at(2.0) == pytest.approx(5)
    assert Bound(3.0, 2.0).at(0.0) == 3
    assert math.isnan(Bound(3.0, 2.0).at(math.nan))


@pytest.mark.parametrize(("count", "share", "expected"), [(9, 0.9, 9), (19, 0.9, 18), (19, 0.5, 10), (99, 0.9, 90)])
def test_without_a_standard_error_it_is_a_quantile(count, share, expected):
    """The bound is the ceil((n + 1) share)-th smallest of n errors, in any order."""
    errors = torch.arange(count, 0, -1).double()
    assert calibrated_bound(errors, torch.zeros(count), share) == (expected, 0)


def test_errors_that_follow_the_standard_error_are_multiples_of_it():
    moved = torch.linspace(0.5, 4, 30)
    bound = calibrated_bound(3 * moved, moved)
    assert bound.factor == pytest.approx(3, abs=0.01) and bound.base < 0.1


def test_too_few_planes_bound_nothing_and_planes_that_are_not_known_do_not_count():
    errors, moved = torch.arange(1.0, 10), torch.zeros(9)
    assert all(math.isnan(value) for value in calibrated_bound(errors[:8], moved[:8]))
    unknown = torch.tensor([torch.nan, 5.0])
    assert calibrated_bound(torch.cat([errors, unknown]), torch.cat([moved, unknown.flip(0)])) == (9, 0)


@pytest.mark.parametrize("kind", ["normal", "with long tails"])
def test_nine_of_ten_fresh_planes_keep_it(kind):
    """This holds for any distribution; for a normal distribution, the ratio of the two coefficients is also
    recovered."""
    draws = torch.Generator().manual_seed(3)
    moved = torch.rand(8000, generator=draws, dtype=torch.float64) * 4
    noise = torch.randn(8000, generator=draws, dtype=torch.float64)
    errors = (torch.hypot(torch.tensor(2.0), 1.5 * moved) * (noise if kind == "normal" else noise**3)).abs()
    bound = calibrated_bound(errors[:4000], moved[:4000])
    kept = [error <= bound.at(move) for error, move in zip(errors[4000:], moved[4000:].tolist(), strict=True)]
    assert sum(kept) / 4000 == pytest.approx(0.9, abs=0.015)
    if kind == "normal":
        assert bound.base == pytest.approx(2 * 1.645, rel=0.1) and bound.factor == pytest.approx(1.5 * 1.645, rel=0.1)
