"""Test bounds of planes' errors: their calculation, the share of other planes within them, and their setting."""

from __future__ import annotations

import math

import pytest
from planewise.errors import InputError
from planewise.evaluation.plane_bounds import bounds_of_planes, checked_bounds, kept_bounds

GOOD = {"peak": 1.0, "agreement": 0.9, "residual_mm": 3.0, "spread_deg": 2.0}
LIMITS = {"min_peak": 0.5, "min_agreement": 0.6, "max_residual": 12.0, "max_spread": 12.0}


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


def test_bounds_are_told_to_a_thousandth_of_a_degree_and_of_a_millimetre():
    rows = [row("2ch", number + 0.12345, number + 0.9876) for number in range(9)]
    assert bounds_of_planes(planes(*rows)) == {"2ch": {"angle_deg": [8.123, 0], "offset_mm": [8.988, 0]}}


def test_how_many_planes_keep_bounds_among_those_that_are_shown():
    bounds = {"2ch": {"angle_deg": [3.0, 2.0], "offset_mm": [1.0, 0.0]}}
    rows = [
        row("2ch", 5.0, 0.5, angle_sd=2.0),  # sqrt(9 + 16) = 5 is kept
        row("2ch", 5.1, 1.5, angle_sd=2.0),
        row("2ch", 3.1, 0.5, angle_sd=0.5),  # sqrt(9 + 1)
        row("2ch", 4.0, 0.5, angle_sd=math.nan),  # the bound is unknown, so the plane does not count as within it
        *(row("2ch", 90, 90, **{name: value}) for name, value in
          (("peak", 0.4), ("agreement", 0.5), ("residual_mm", 13.0), ("spread_deg", 13.0), ("spread_deg", math.nan))),
    ]  # fmt: skip
    assert kept_bounds(planes(*rows), bounds, **LIMITS) == {
        "2ch": {"planes": 9, "refused": 5, "angle_deg": 0.5, "offset_mm": 0.75}
    }


def test_of_planes_that_are_all_refused_none_is_counted():
    bounds = {"2ch": {"angle_deg": [3.0, 2.0], "offset_mm": [1.0, 0.0]}}
    assert kept_bounds(planes(row("2ch", 1, 1, peak=0.1)), bounds, **LIMITS) == {
        "2ch": {"planes": 1, "refused": 1, "angle_deg": None, "offset_mm": None}
    }


def test_the_setting():
    given = {"measured_on": "20 exams", "2ch": {"angle_deg": [3, 2], "offset_mm": [1.5, 0]}}
    assert checked_bounds(given, ["2ch"]) == {"2ch": {"angle_deg": (3, 2), "offset_mm": (1.5, 0)}}
    assert checked_bounds(None, ["2ch"]) == {}


@pytest.mark.parametrize(
    "given",
    [
        5,
        {"2ch": {"angle_deg": [3, 2], "offset_mm": [1, 0]}},
        {"measured_on": "x"},
        {"measured_on": "x", "2ch": {"angle_deg": [3, 2]}},
        {"measured_on": "x", "2ch": {"angle_deg": [3], "offset_mm": [1, 0]}},
        {"measured_on": "x", "2ch": {"angle_deg": [3, -1], "offset_mm": [1, 0]}},
        {"measured_on": "x", "2ch": {"angle_deg": [3, math.nan], "offset_mm": [1, 0]}},
        {"measured_on": "x", "2ch": {"angle_deg": "35", "offset_mm": [1, 0]}},
    ],
)
def test_what_is_no_setting_is_refused(given):
    with pytest.raises(InputError, match="plane_bounds .*{measured_on: text, VIEW:.*or null"):
        checked_bounds(given, ["2ch"])
