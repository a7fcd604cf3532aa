from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceLoss
from planewise.losses import SoftDiceLoss

from tests.processes import in_processes


def transcribed(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The loss computed voxel by voxel from the equation."""
    batch, classes = logits.shape[:2]
    total = 0.0
    for c in range(classes):
        shared = predicted = held = 0.0
        for b in range(batch):
            for v in range(logits[b, 0].numel()):
                exponentials = [math.exp(float(logits[b, k].flatten()[v])) for k in range(classes)]
                p, g = exponentials[c] / sum(exponentials), float(label[b, 0].flatten()[v] == c)
                shared, predicted, held = shared + p * g, predicted + p, held + g
        total += (2 * shared + 1e-5) / (predicted + held + 1e-5)
    return 1 - total / classes


def test_it_is_the_equation():
    torch.manual_seed(0)
    for sides in ((3, 2, 2), (3, 4)):
        logits, label = torch.randn(2, 4, *sides), torch.randint(0, 4, (2, 1, *sides)).float()
        assert float(SoftDiceLoss()(logits, label)) == pytest.approx(transcribed(logits, label), abs=1e-5)
        peer = DiceLoss(to_onehot_y=True, softmax=True, batch=True)
        assert float(SoftDiceLoss()(logits, label)) == pytest.approx(float(peer(logits, label)), abs=1e-5)


def test_ends_of_the_scale():
    label = torch.tensor([0.0, 1, 2, 1]).reshape(1, 1, 4, 1, 1)
    right = 50 * torch.nn.functional.one_hot(label[:, 0].long(), 3).movedim(-1, 1).float()
    assert float(SoftDiceLoss()(right, label)) == pytest.approx(0, abs=1e-5)
    assert float(SoftDiceLoss()(right.roll(1, dims=1), label)) == pytest.approx(1, abs=1e-4)


def test_a_structure_that_is_not_there():
    """An absent structure costs nothing if it is not predicted, and its full share if it is."""
    nothing, label = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    nothing[:, 0] = 60
    assert float(SoftDiceLoss()(nothing, label)) == pytest.approx(0, abs=1e-5)
    # each class has half of eight voxels: the background's Dice is 2 * 4 / (4 + 8)
    assert float(SoftDiceLoss()(torch.zeros(1, 2, 2, 2, 2), label)) == pytest.approx(1 - (2 / 3) / 2, abs=1e-4)


def test_a_structure_that_takes_in_the_background_is_pushed_back():
    """Two structures have one voxel each, and 98 voxels are background. The prediction of the first is right, but that
    of the second covers everything else.
    """
    label = torch.zeros(1, 1, 100)
    label[..., 0], label[..., 1] = 1, 2
    logits = torch.zeros(1, 3, 100)
    logits[:, 1, 0], logits[:, 2, 1:] = 8, 8
    logits.requires_grad_(True)
    SoftDiceLoss()(logits, label).backward()
    pushed = logits.grad.clone()
    logits.grad = None
    DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(logits, label).backward()
    # compare the mean gradient of the background class at background voxels
    assert float(-pushed[0, 0, 2:].mean()) > 20 * float(-logits.grad[0, 0, 2:].mean())


def slices() -> tuple[torch.Tensor, torch.Tensor]:
    """Four images, of which the last two contain no structure."""
    torch.manual_seed(1)
    logits, label = torch.randn(4, 3, 3, 2), torch.randint(0, 3, (4, 1, 3, 2)).float()
    label[2:] = 0
    return logits, label


def test_the_items_of_a_batch_are_one_volume():
    logits, label = slices()
    # placed next to each other along the first axis of one image
    whole = transcribed(torch.cat(list(logits), dim=1)[None], torch.cat(list(label), dim=1)[None])
    assert float(SoftDiceLoss()(logits, label)) == pytest.approx(whole, abs=1e-5)


def in_halves(rank: int) -> dict[str, torch.Tensor]:
    logits, label = (value[2 * rank : 2 * rank + 2] for value in slices())
    logits.requires_grad_(True)
    loss = SoftDiceLoss()(logits, label)
    loss.backward()
    return {"loss": loss.detach(), "gradient": logits.grad}


def test_two_processes_are_one_batch():
    logits, label = slices()
    logits.requires_grad_(True)
    expected = SoftDiceLoss()(logits, label)
    expected.backward()
    found = in_processes(in_halves)
    assert all(torch.allclose(half["loss"], expected) for half in found)
    # processes average their gradients
    assert torch.allclose(torch.cat([half["gradient"] for half in found]) / 2, logits.grad, atol=1e-7)
