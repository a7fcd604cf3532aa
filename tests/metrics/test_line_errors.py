from __future__ import annotations

import math

import pytest
import torch
from planewise.geometry import intersection_lines, line_heatmaps
from planewise.metrics import LineErrors

#: Pixels of 2 mm, centred on the middle of a 64 x 64 grid.
AFFINE = torch.diag(torch.tensor([2.0, 2, 8, 1], dtype=torch.float64))
CENTRE = torch.tensor([63.0, 63, 0], dtype=torch.float64)


def line(degrees: float, shift: float) -> torch.Tensor:
    """A line rotated by degrees and shifted by mm."""
    angle = math.radians(degrees)
    normal = torch.tensor([math.cos(angle), math.sin(angle), 0], dtype=torch.float64)
    return intersection_lines(AFFINE, CENTRE + shift * normal, normal)


def test_means_over_slices_and_batches_by_hand():
    """Two views, one rotated and one shifted; one slice has no prediction, and another has no target."""
    nothing, unknown = torch.zeros(64, 64), torch.full((3,), torch.nan, dtype=torch.float64)
    metric = LineErrors(["2ch", "4ch"])
    for turns, shifts in (((4, 9), (1, 2)), ((20, None), (9, None))):
        maps, truth = [], []
        for turn, shift in zip(turns, shifts, strict=True):
            of_views = [nothing, nothing] if turn is None else [line(turn, 0), line(90, shift)]
            maps.append(torch.stack([one if one.ndim == 2 else line_heatmaps(one, (64, 64), 4) for one in of_views]))
            truth.append(torch.stack([line(0, 0), unknown if turn is None else line(90, 0)]))
        target = {"lines": torch.stack(truth), "affine": AFFINE.repeat(2, 1, 1)}
        # the last channel holds the location
        metric.update((torch.cat([torch.stack(maps), torch.full((2, 1, 64, 64), 0.5)], dim=1), target))
    scores = metric.compute()
    # the line that was not found counts as 90 degrees, and is left out of the distance
    assert scores["2ch_angle"] == pytest.approx((4 + 9 + 20 + 90) / 4, abs=0.3)
    assert scores["2ch_distance"] == pytest.approx(0, abs=0.1)
    assert scores["4ch_angle"] == pytest.approx(0, abs=0.1) and scores["4ch_distance"] == pytest.approx(4, abs=0.1)
