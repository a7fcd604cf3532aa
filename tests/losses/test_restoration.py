from __future__ import annotations

from itertools import product

import pytest
import torch
from planewise.losses import RestorationLoss


@pytest.mark.parametrize("hidden_only", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (2, 1, 3, 4, 2)])
def test_the_equation(shape, hidden_only):
    prediction, restored = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    hidden = torch.rand(shape[0], 1, *shape[2:]) < 0.4
    total, count = 0.0, 0
    for place in product(*map(range, shape)):
        if not hidden_only or hidden[(place[0], 0, *place[2:])]:
            total += float(prediction[place] - restored[place]) ** 2
            count += 1
    target = {"restored": restored, "hidden": hidden}
    assert float(RestorationLoss(hidden_only)(prediction, target)) == pytest.approx(total / count, rel=1e-5)
    (term,) = RestorationLoss(hidden_only).terms(prediction, target)
    assert int(term.count) == count


def test_what_is_kept_has_no_gradient_where_the_hidden_pixels_count_alone():
    prediction = torch.randn(2, 1, 4, 4, requires_grad=True)
    hidden = torch.rand(2, 1, 4, 4) < 0.5
    RestorationLoss(hidden_only=True)(prediction, {"restored": torch.zeros(2, 1, 4, 4), "hidden": hidden}).backward()
    assert torch.equal(prediction.grad != 0, hidden)


def test_nothing_hidden_is_no_loss():
    target = {"restored": torch.ones(1, 1, 4, 4), "hidden": torch.zeros(1, 1, 4, 4, dtype=torch.bool)}
    assert float(RestorationLoss(hidden_only=True)(torch.zeros(1, 1, 4, 4), target)) == 0
    del target["hidden"]
    assert float(RestorationLoss()(torch.zeros(1, 1, 4, 4), target)) == 1
