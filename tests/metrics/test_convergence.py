from __future__ import annotations

import math

import pytest
from planewise.metrics import epoch_that_reached, epochs_to_converge


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ([2.0, 1.5, 1.06, 1.04, 1.0, 1.2], 4),  # 95 % of the way from 2 to 1 is 1.05
        ([2.0, 1.0, 3.0], 2),
        ([1.0, 2.0, 3.0], 1),
        ([math.nan, 2.0, 1.0], 3),
        ([math.nan], None),
        ([], None),
    ],
)
def test_the_first_epoch_that_had_nearly_all_of_the_fall(losses, epoch):
    assert epochs_to_converge(range(1, len(losses) + 1), losses) == epoch


@pytest.mark.parametrize(("bar", "epoch"), [(0.2, 5), (0.5, 10), (0.61, 20), (0.7, 20), (0.71, None), (math.nan, None)])
def test_the_first_epoch_that_was_as_good(bar, epoch):
    assert epoch_that_reached([5, 10, 15, 20], [0.3, 0.6, math.nan, 0.7], bar) == epoch
    assert epoch_that_reached([], [], bar) is None
