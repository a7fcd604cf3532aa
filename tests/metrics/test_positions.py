"""Test the Dice of squares against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import position_counts, position_dice


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
