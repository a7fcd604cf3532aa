from __future__ import annotations

import pytest
import torch
from planewise.metrics.pretexts import mean_of_seen, restoration_errors


def test_errors_of_numbers_known_by_hand():
    wanted = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    answer = torch.tensor([[[[1.0, 4.0], [3.0, 1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    hidden = torch.tensor([[[[False, True], [False, True]]], [[[False, False], [False, False]]]])
    found = restoration_errors(answer, wanted, hidden)
    assert float(found[0]) == pytest.approx((2**2 + 3**2) / 2) and found[1].isnan()
    assert restoration_errors(answer, wanted, ~hidden).tolist() == [0, 1]
    mean = mean_of_seen(answer, hidden)
    assert mean.shape == (2, 1, 1, 1) and mean.flatten().tolist() == [2, 0]
    assert float(restoration_errors(mean, wanted, hidden)[0]) == pytest.approx((0 + 2**2) / 2)
    assert mean_of_seen(answer, torch.ones_like(hidden)).flatten().tolist() == [0, 0], "no pixel is visible"


def test_channels_share_what_is_hidden():
    wanted, hidden = torch.zeros(1, 2, 1, 3, 2), torch.zeros(1, 1, 1, 3, 2, dtype=torch.bool)
    hidden[..., 0, 0] = True
    answer = torch.zeros(1, 2, 1, 3, 2)
    answer[0, 0, 0, 0, 0], answer[0, 1, 0, 0, 0] = 1, 3
    assert restoration_errors(answer, wanted, hidden).tolist() == [5]
