"""Test the error of a phantom's simulated technologist against planes placed by hand."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
from planewise.errors import InputError

from tests.evaluation.test_plane_bounds import planes, row
from tools.released.planes import kept_bounds, technologist_errors

LIMITS = {"min_peak": 0.5, "min_agreement": 0.6, "max_residual": 12.0, "max_spread": 12.0}


def exam(name: str) -> list[dict]:
    """Axial slices, cut by the planes x = 10 and y = -20."""
    planes = {
        "2ch": {"origin": [10.0, 5.0, 7.0], "normal": [1.0, 0.0, 0.0]},
        "4ch": {"origin": [0.0, -20.0, 3.0], "normal": [0.0, 1.0, 0.0]},
    }
    affine = [[1.0, 0, 0, -50], [0, 1.0, 0, -50], [0, 0, 8.0, 0], [0, 0, 0, 1.0]]
    items = []
    for number in range(3):
        affine = deepcopy(affine)
        affine[2][3] = 8.0 * number
        items.append({"exam": name, "slice": number, "affine": affine, "planes": deepcopy(planes)})
    return items


def test_turned_about_the_heart_it_is_an_angle_and_moved_along_its_normal_an_offset():
    true = {"test": [*exam("a"), *exam("b"), *exam("c")]}
    laid = deepcopy(true)
    for item in laid["test"]:
        turn = {"a": 0.0, "b": 6.0, "c": 9.0}[item["exam"]]
        # about the point (10, -20, 8), where the planes cut the middle slice
        item["planes"]["2ch"] = {
            "origin": [10.0, -20.0, 8.0], "normal": [math.cos(math.radians(turn)), math.sin(math.radians(turn)), 0.0],
        }  # fmt: skip
        item["planes"]["4ch"]["origin"][1] += {"a": 1.0, "b": -2.0, "c": 5.0}[item["exam"]]
    found = technologist_errors(laid, true)
    assert found["2ch"] == pytest.approx({"plane_angle_deg": 6.0, "plane_offset_mm": 0.0}, abs=1e-6)
    assert found["4ch"] == pytest.approx({"plane_angle_deg": 0.0, "plane_offset_mm": 2.0}, abs=1e-6)


def test_it_is_measured_on_the_middle_slice_in_whatever_order_slices_are_listed():
    """Tilted by 6 degrees about the heart, a plane is off by 8 mm times the sine of 6 degrees on the next slice."""
    true = {"training": exam("a")}
    laid = {"training": deepcopy(true["training"])[::-1]}
    tilt = math.radians(6)
    for item in laid["training"]:
        item["planes"]["2ch"] = {"origin": [10.0, -20.0, 8.0], "normal": [math.cos(tilt), 0.0, math.sin(tilt)]}
    for given in (true, {"training": [true["training"][number] for number in (1, 2, 0)]}):
        found = technologist_errors(laid, given)
        assert found["2ch"] == pytest.approx({"plane_angle_deg": 6.0, "plane_offset_mm": 0.0}, abs=1e-6)


def test_other_exams_are_refused():
    with pytest.raises(InputError, match="exam b has no phantom with planes from its anatomy"):
        technologist_errors({"test": exam("b")}, {"test": exam("a")})


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
