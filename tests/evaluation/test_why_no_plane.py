"""Test which planes are refused as unreliable."""

from __future__ import annotations

import math

import pytest
from planewise.evaluation.joint_plan import why_no_plane

LIMITS = {"min_peak": 0.5, "min_agreement": 0.6, "max_residual": 12.0, "max_spread": 10.0}
AT_THE_LIMITS = {"peak": 0.5, "agreement": 0.6, "residual": 12.0, "spread": 10.0}


def test_a_plane_at_the_limits_is_one():
    assert why_no_plane(**AT_THE_LIMITS, **LIMITS) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peak", 0.494),
        ("agreement", 0.55),
        ("residual", 12.5),
        ("spread", 10.1),
        ("spread", math.nan),
        ("peak", math.nan),
    ],
)
def test_a_plane_beyond_a_limit_is_none(name, value):
    (reason,) = why_no_plane(**AT_THE_LIMITS | {name: value}, **LIMITS)
    assert reason.startswith(name)
