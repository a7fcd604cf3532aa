"""Test bounds of planes' errors: their calculation, the share of other planes within them, and their setting."""

from __future__ import annotations

import pytest
from planewise.errors import InputError
from planewise.evaluation.joint_plan import bounds_of_planes, checked_bounds

GOOD = {"peak": 1.0, "agreement": 0.9, "residual_mm": 3.0, "spread_deg": 2.0}


def planes(*rows: dict) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def row(view: str, angle: float, offset: float, angle_sd: float = 0.0, offset_sd: float = 0.0, **other) -> dict:
    errors = {"angle_deg": angle, "offset_mm": offset, "angle_sd_deg": angle_sd, "offset_sd_mm": offset_sd}
    return {"view": view, **errors, **GOOD, **other}


def test_each_view_has_bounds_of_its_own():
    """With nine planes of equal uncertainty, the bound is the largest error; with fewer planes, there is no bound."""
    rows = [row("2ch", number, 10 - number) for number in range(1, 10)] + [row("4ch", 30, 30)] * 8
    found = bounds_of_planes(planes(*rows))
    assert found == {"2ch": {"angle_deg": [9, 0], "offset_mm": [9, 0]}, "4ch": None}


def test_the_setting():
    given = {"measured_on": "20 exams", "2ch": {"angle_deg": [3, 2], "offset_mm": [1.5, 0]}}
    assert checked_bounds(given, ["2ch"]) == {"2ch": {"angle_deg": (3, 2), "offset_mm": (1.5, 0)}}
    assert checked_bounds(None, ["2ch"]) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"2ch": {"angle_deg": [3, 2], "offset_mm": [1, 0]}},
        {"measured_on": "x"},
        {"measured_on": "x", "2ch": {"angle_deg": [3, 2]}},
        {"measured_on": "x", "2ch": {"angle_deg": [3], "offset_mm": [1, 0]}},
        {"measured_on": "x", "2ch": {"angle_deg": [3, -1], "offset_mm": [1, 0]}},
    ],
)
def test_what_is_no_setting_is_refused(given):
    with pytest.raises(InputError, match="plane_bounds"):
        checked_bounds(given, ["2ch"])
