"""Test which planes are refused as unreliable, and which stacks are not short-axis by the direction of their slices."""

from __future__ import annotations

import math

import pytest
from planewise.evaluation.why_no_plane import why_no_plane, why_no_short_axis


def test_what_a_person_is_told():
    (said,) = why_no_short_axis(3.25, "axial", 15.0)
    assert said.startswith(
        "the slices lie 3.2 deg from axial, but a heart's short axis is oblique in the body by at least 15 deg"
    )
    assert said.endswith("lost its orientation (as in ACDC), use --min_obliquity 0")


@pytest.mark.parametrize(("obliquity", "limit"), [(15.0, 15.0), (40.0, 15.0), (0.0, 0.0), (math.nan, 0.0)])
def test_what_is_oblique_enough(obliquity, limit):
    assert why_no_short_axis(obliquity, "axial", limit) == []


@pytest.mark.parametrize("obliquity", [14.999, math.nan])
def test_what_is_not(obliquity):
    assert why_no_short_axis(obliquity, "axial", 15.0)


def test_slices_across_another_axis_than_the_hearts_are_no_short_axis():
    assert why_no_short_axis(20.0, "axial", 15.0, 45.0) == why_no_short_axis(20.0, "axial", 0.0, 90.0) == []
    (said,) = why_no_short_axis(20.0, "axial", 15.0, 61.3)
    assert said.startswith("the slices' normal lies 61 deg from the long axis of hearts (left, front and down)")
    assert said.endswith("use --min_obliquity 0")
    (said,) = why_no_short_axis(10.0, "axial", 15.0, 61.3)
    assert "oblique" in said, "one reason is enough"


LIMITS = {"min_peak": 0.5, "min_agreement": 0.6, "max_residual": 12.0, "max_spread": 10.0}
AT_THE_LIMITS = {"peak": 0.5, "agreement": 0.6, "residual": 12.0, "spread": 10.0}


def test_a_plane_at_the_limits_is_one():
    assert why_no_plane(**AT_THE_LIMITS, **LIMITS) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("peak", 0.494, "peak 0.49, but must be at least 0.5"),
        ("agreement", 0.55, "agreement 0.55, but must be at least 0.6"),
        ("residual", 12.5, "residual 12.50, but must be at most 12"),
        ("spread", 10.1, "spread 10.10, but must be at most 10"),
        ("spread", math.nan, "spread not known, but must be at most 10"),
        ("peak", math.nan, "peak not known, but must be at least 0.5"),
    ],
)
def test_a_plane_beyond_a_limit_is_none(name, value, reason):
    assert why_no_plane(**AT_THE_LIMITS | {name: value}, **LIMITS) == [reason]
