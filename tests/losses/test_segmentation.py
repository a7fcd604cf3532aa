from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import SegmentationLoss, logged_terms
from planewise.losses.segmentation import _absolute_sums
from planewise.networks import SliceNet, UNetDecoder, UNetEncoder
from torch import nn


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 4, 3))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropy_and_l1_on_the_convolutions_weights(reduction):
    network = net()
    logits, label = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 1, 5, 5)).float()
    entropy = 0.0
    for n in range(2):
        for i in range(5):
            for j in range(5):
                value = logits[n, :, i, j]
                entropy -= float(torch.log(torch.exp(value)[int(label[n, 0, i, j])] / torch.exp(value).sum())) / 50
    penalty = 0.01 * float(network[0].weight.abs().sum() + network[2].weight.abs().sum())
    if reduction == "mean":
        penalty /= 3 * 1 * 9 + 3 * 4 * 9
    loss = SegmentationLoss(network, l1=0.01, l1_reduction=reduction)
    assert float(loss(logits, label)) == pytest.approx(entropy + penalty, rel=1e-5)
    assert {name: float(part) for name, part in logged_terms(loss).items()} == pytest.approx(
        {"cross_entropy": entropy, "l1": penalty}, rel=1e-5
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolutions_of_any_number_of_axes_are_penalised(axes):
    kinds = [getattr(nn, f"{kind}{axes}d") for kind in ("Conv", "ConvTranspose")]
    network = nn.Sequential(*(kind(2, 3, 2) if kind is kinds[0] else kind(3, 2, 2) for kind in kinds))
    loss = SegmentationLoss(network, l1=1)
    loss(torch.randn(1, 2, *[3] * axes), torch.zeros(1, 1, *[3] * axes))
    weights = torch.cat([layer.weight.flatten() for layer in network])
    assert float(logged_terms(loss)["l1"]) == pytest.approx(float(weights.abs().mean()))


def test_a_gpu_sums_all_weights_at_once():
    """The GPU's method is run on a CPU, where gradients can be inspected."""
    weights = [torch.randn(shape, requires_grad=True) for shape in ((4, 3, 3, 3), (2, 4), (7,))]
    weights[2].data[3] = 0.0
    slow, fast = ([weight.detach().clone().requires_grad_() for weight in weights] for _ in range(2))
    one, other = sum(weight.abs().sum() for weight in slow), sum(torch._foreach_norm(fast, 1))
    assert torch.allclose(one, other)
    one.backward()
    other.backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(slow, fast, strict=True))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        sums = _absolute_sums([weight.detach().to("meta") for weight in weights])
    assert [each.shape for each in sums] == [()] * 3
    assert "aten::_foreach_norm" in {event.key for event in profile.key_averages()}


def test_validation_has_no_penalty():
    logits, label = torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5)
    with torch.no_grad():
        validation = SegmentationLoss(net(), l1=0.01)(logits, label)
    assert float(validation) == pytest.approx(float(SegmentationLoss(net(), l1=0)(logits, label)))


def test_the_network_is_not_part_of_the_loss():
    assert list(SegmentationLoss(net()).parameters()) == []


def test_frozen_weights_are_not_penalised():
    network = net()
    network[0].requires_grad_(False)
    loss = SegmentationLoss(network, l1=1)
    loss(torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5))
    assert float(logged_terms(loss)["l1"]) == pytest.approx(float(network[2].weight.abs().mean()))


def test_a_reduction_that_there_is_not():
    with pytest.raises(ValueError, match="l1_reduction must be 'mean' or 'sum', got 'max'"):
        SegmentationLoss(net(), l1_reduction="max")


def test_at_the_papers_width_the_sum_outweighs_the_cross_entropy_and_the_mean_does_not():
    network = SliceNet(
        UNetEncoder(features=(64, 128, 256, 512, 1024)), UNetDecoder(features=(64, 128, 256, 512, 1024)), num_maps=4
    )
    label = torch.randint(0, 4, (1, 1, 16, 16))
    shares = {}
    for reduction in ("sum", "mean"):
        loss = SegmentationLoss(network, l1_reduction=reduction)
        loss(torch.zeros(1, 4, 16, 16, requires_grad=True), label)
        shares[reduction] = float(logged_terms(loss)["l1"]) / math.log(4)
    assert shares["sum"] > 3 and shares["mean"] < 1e-5
