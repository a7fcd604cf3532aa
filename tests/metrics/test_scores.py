from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import volume_scores


def ball(centre: float, radius: float, value: int) -> torch.Tensor:
    grid = torch.stack(torch.meshgrid(*[torch.arange(20.0)] * 3, indexing="ij"))
    return ((grid - centre).square().sum(0) < radius**2).int() * value


def test_volume_scores_of_shifted_balls():
    reference = ball(9, 5, 3)
    moved = torch.roll(reference, 2, dims=0)
    scores = volume_scores(moved, reference, (1, 1, 1), {3: "LV"})["LV"]
    overlap = 2 * float(((moved > 0) & (reference > 0)).sum()) / float((moved > 0).sum() + (reference > 0).sum())
    assert scores["dice"] == pytest.approx(overlap) and not scores["missed"]
    # distances are in millimetres of the volume's own spacing, not in voxels
    wide = volume_scores(moved, reference, (3, 3, 3), {3: "LV"})["LV"]
    assert wide["assd"] == pytest.approx(3 * scores["assd"], rel=1e-5)
    assert 0.5 < scores["assd"] < 2
    assert volume_scores(reference, reference, (1, 1, 1), {3: "LV"})["LV"]["assd"] == 0
    # slices are the last axis, along which no distance is measured
    assert wide["contour"] == pytest.approx(3 * scores["contour"], rel=1e-5)
    assert volume_scores(moved, reference, (1, 1, 9), {3: "LV"})["LV"]["contour"] == scores["contour"]


def test_missed_and_empty_structures():
    reference = ball(9, 5, 3)
    scores = volume_scores(torch.zeros_like(reference), reference, (1, 1, 1), {1: "RV", 3: "LV"})
    assert scores["RV"] == {"dice": 1.0, "assd": 0.0, "contour": 0.0, "missed": False}
    assert scores["LV"]["dice"] == 0 and scores["LV"]["missed"]
    assert math.isnan(scores["LV"]["assd"]) and math.isnan(scores["LV"]["contour"])


def test_the_surface_of_a_single_slice_is_its_contour():
    """A 10 x 10 square moved by one pixel of 2 mm: 18 of the 36 pixels of each contour are that far away."""
    true, found = torch.zeros(20, 20, 1), torch.zeros(20, 20, 1)
    true[5:15, 5:15], found[6:16, 5:15] = 1, 1
    (scores,) = volume_scores(found, true, (2.0, 2.0, 8.0), {1: "LV"}).values()
    assert scores["dice"] == pytest.approx(0.9)
    assert scores["assd"] == pytest.approx(1.0) and scores["contour"] == pytest.approx(1.0)
