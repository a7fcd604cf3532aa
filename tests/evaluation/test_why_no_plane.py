"""Test which planes are refused as unreliable."""

from __future__ import annotations

import math

import pytest
from planewise.evaluation.why_no_plane import why_no_plane

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
