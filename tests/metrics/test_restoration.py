from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.metrics.pretexts import mean_of_seen, restoration_errors, restoration_scores
from planewise.reports.main_score import main_score


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


def test_scores_are_means_over_the_images_that_have_such_pixels():
    hidden = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [np.nan] * 3])
    kept = np.full((3, 3), np.nan)
    scores = restoration_scores(hidden, kept)
    means = {"restored": 2, "unchanged": 3, "mean": 4}
    assert scores["hidden"] == means | {"chance": 4, "lower_is_better": True} and scores["images"] == 3
    main = main_score(scores)
    assert (main.value, main.chance, main.is_guess) == (2, 4, False)
    assert main_score(restoration_scores(hidden[:, [2, 1, 0]], kept)).is_guess, "the mean is the better guess"
    assert np.isnan(list(scores["kept"].values())).all()
