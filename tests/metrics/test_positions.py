"""Test the Dice of squares against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import PositionErrors, position_counts, position_dice


def test_counts_and_dice_by_hand():
    truth = torch.zeros(2, 4, 4, dtype=torch.int64)
    truth[0, 0] = 1  # a row of four
    truth[0, 3, :2] = 2
    truth[1] = -1
    said = torch.zeros_like(truth)
    said[0, 0, :3] = 1
    said[0, 1, :3] = 1
    said[0, 3, 3] = 4
    said[1, 0] = 3  # a slice with unknown squares
    logits = torch.nn.functional.one_hot(said, 10).permute(0, 3, 1, 2).float()
    counts = position_counts(logits, truth)
    assert counts.shape == (2, 10, 3)
    assert (
        counts[0, 1].tolist() == [3, 6, 4] and counts[0, 2].tolist() == [0, 0, 2] and counts[0, 4].tolist() == [0, 1, 0]
    )
    assert counts[0, 0].tolist() == [6, 9, 10] and not counts[1].any()
    dice = position_dice(counts)
    assert dice[1] == pytest.approx(2 * 3 / 10) and dice[2] == 0 and dice[4] == 0
    assert dice[0] == pytest.approx(12 / 19) and math.isnan(dice[3]) and math.isnan(dice[9])


SIDE = 10  # pixels of 2 mm
CORNERS = [(20, 20), (20, 0), (0, 20), (35, 20), (50, 20), (20, 35), (20, 50), (35, 35), (50, 50)]
AFFINE = torch.diag(torch.tensor([2.0, 2, 8, 1], dtype=torch.float64))


def update(shift: int, without: int | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Nine squares on 64 x 64 pixels, predicted ``shift`` pixels further along i; one of them may be missing. The last square
    is not inside the image.
    """
    truth, said = torch.zeros(2, 64, 64, dtype=torch.int64).unbind()
    centres = []
    for number, (i, j) in enumerate(CORNERS, start=1):
        truth[i : i + SIDE, j : j + SIDE] = number
        if number != without:
            said[i + shift : i + shift + SIDE, j : j + SIDE] = number
        centres.append((2 * i + SIDE - 1.0, 2 * j + SIDE - 1.0, 0.0))
    logits = 30 * torch.nn.functional.one_hot(said, 10).permute(2, 0, 1)[None].float()
    inside = torch.tensor([[True] * 8 + [False]])
    target = {"squares": truth[None], "square_centres": torch.tensor(centres).double()[None], "square_inside": inside}
    return logits, target | {"affine": AFFINE[None]}


def scores(updates) -> dict[str, float]:
    metric = PositionErrors(2.0 * SIDE)
    for each in updates:
        metric.update(each)
    return metric.compute()


UPDATES = (update(0), update(2), update(1, without=3))


def test_errors_by_hand():
    assert scores(UPDATES[:1]) == pytest.approx(
        {"squares_dice": 1, "squares_found": 1, "squares_distance": 0}, abs=1e-4
    )
    # 2 of 10 rows off: Dice 0.8, except for squares that overlap each other; 2 pixels are 4 mm
    moved = scores(UPDATES[1:2])
    assert moved["squares_dice"] == pytest.approx(0.8) and moved["squares_distance"] == pytest.approx(4, abs=1e-4)
    together = scores(UPDATES)
    assert together["squares_found"] == pytest.approx(23 / 24)
    assert together["squares_distance"] == pytest.approx((8 * 0 + 8 * 4 + 7 * 2) / 23, abs=1e-4)
    assert PositionErrors(20.0).compute() == {}
