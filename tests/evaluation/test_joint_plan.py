"""Test the weighted mean of the planes of an exam's phases against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.evaluation.joint_plan import join_phases
from planewise.geometry import Bound, mean_plane

BOUNDS = {"2ch": {"angle_deg": Bound(5.0, 0.0), "offset_mm": Bound(1.0, 2.0)}}


def plane(offset=0.0, degrees=0.0, sd=0.0, offset_sd=0.0):
    """A plane through x = offset, rotated about z."""
    turn = np.radians(degrees)
    known = {"origin": [offset, 0.0, 0.0], "normal": [np.cos(turn), np.sin(turn), 0.0]}
    return {"2ch": {"verdict": "plane", "reasons": [], **known, "angle_sd_deg": sd, "offset_sd_mm": offset_sd}}


def none(reason="peak 0.10, but must be at least 0.5"):
    unknown = dict.fromkeys(("origin", "normal", "angle_sd_deg", "offset_sd_mm", "within_deg", "within_mm"))
    return {"2ch": {"verdict": "no plane", "reasons": [reason], **unknown}}


def test_the_mean_of_planes_ignores_the_signs_of_their_normals():
    normals = torch.tensor([[np.cos(a), np.sin(a), 0] for a in (0.1, np.pi - 0.1)], dtype=torch.float64)
    origins = torch.tensor([[4.0, 0, 0], [6.0, 0, 0]], dtype=torch.float64)
    origin, normal = mean_plane(origins, normals, torch.ones(2))
    assert normal.abs().tolist() == pytest.approx([1, 0, 0], abs=1e-9) and float(origin[0]) == pytest.approx(5)
    # the first plane has three times the weight of the second; the unit of the weights does not matter
    origin, _ = mean_plane(origins, normals[[0, 0]], torch.tensor([30.0, 10.0]))
    assert float(origin[0]) == pytest.approx(4.5)
    # the planes do not pass through the mean of their origins, but 5 tan 10 deg further along the mean normal
    normals = torch.tensor([[np.cos(a), np.sin(a), 0] for a in np.radians([10, -10])], dtype=torch.float64)
    origin, normal = mean_plane(torch.tensor([[0.0, 10, 0], [0, 0, 0]], dtype=torch.float64), normals, torch.ones(2))
    assert origin.tolist() == pytest.approx([5 * np.tan(np.radians(10)), 5, 0]) and abs(float(normal[0])) == 1.0


def test_end_diastole_counts_twice_and_a_plane_that_its_slices_doubt_less():
    joint = join_phases(plane(0), {"phase50": plane(3)}, {})["2ch"]
    assert joint["origin"][0] == pytest.approx(1.0) and joint["phases"] == 2 and joint["within_deg"] is None
    # weights of 2 / 1 and 1 / (1 + 3^2)
    joint = join_phases(plane(0), {"phase50": plane(3, sd=3.0, offset_sd=2.1)}, {})["2ch"]
    assert joint["origin"][0] == pytest.approx(3 * 0.1 / 2.1, abs=1e-3)
    assert joint["angle_sd_deg"] == pytest.approx(3 * 0.1 / 2.1, abs=0.01) and joint["offset_sd_mm"] == pytest.approx(
        0.1
    )


def test_phases_that_lie_farther_from_the_joint_plane_than_phases_do_are_named():
    """The phases share most of their error, so a phase may disagree although it is within the error bounds."""
    others = {"phase25": plane(0.5), "phase50": plane(0, degrees=4), "phase75": plane(2.5)}
    joint = join_phases(plane(), others, BOUNDS, {"2ch": (2.0, 1.2)})["2ch"]
    assert joint["within_deg"] == 5.0 and joint["within_mm"] == 1.0
    assert joint["phases_that_disagree"] == ["phase50", "phase75"] and joint["phases_without_a_plane"] == []
    assert join_phases(plane(), others, BOUNDS)["2ch"]["phases_that_disagree"] == [], "the usual distance is unknown"


@pytest.mark.parametrize(
    ("first", "others", "found"),
    [
        (plane(), [none(), none(), none()], "plane"),  # end-diastole has a plane
        (none(), [plane(), none(), none()], "no plane"),
        (none(), [plane(), plane(), none()], "plane"),  # half of the phases have a plane
        (none(), [none()], "no plane"),
    ],
)
def test_end_diastole_or_half_of_the_phases_must_have_a_plane(first, others, found):
    joint = join_phases(first, {f"phase{number}": one for number, one in enumerate(others, start=1)}, BOUNDS)["2ch"]
    assert joint["verdict"] == found and (joint["origin"] is None) == (found == "no plane")
    assert bool(joint["reasons"]) == (found == "no plane"), "the reasons are those of end-diastole"
    without = [f"phase{number}" for number, one in enumerate(others, start=1) if one["2ch"]["origin"] is None]
    assert joint["phases_without_a_plane"] == without
