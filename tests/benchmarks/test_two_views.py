from __future__ import annotations

import math

import pytest
import torch
from bars import two_views
from timing import Options

from tests.cuda_stand_in import WITHOUT_VALUES


@pytest.mark.slow
def test_what_is_measured():
    bars = {bar.name: bar for bar in two_views.measure(Options(repetitions=2, quick=True))}
    measured = {name for name, bar in bars.items() if bar.value is not None}
    # one of the compared libraries is kornia, which tests do not install
    assert set(bars) - measured <= {"ours / kornia, batched"}
    assert measured >= {"our two views", "NT-Xent / MONAI's ContrastiveLoss", "NT-Xent, ours"}
    assert all(math.isfinite(bars[name].value) and bars[name].value > 0 for name in measured)
    assert bars["ours / kornia, batched"].limit == bars["NT-Xent / MONAI's ContrastiveLoss"].limit == 1.0


@pytest.mark.parametrize("make", [two_views._ours, two_views._monai])
def test_losses_are_compared_on_the_device(make):
    held = [cell.cell_contents for cell in make(4, WITHOUT_VALUES).__closure__]
    parts = [part for part in held if isinstance(part, torch.Tensor)]
    assert {part.device for part in parts} == {WITHOUT_VALUES}
