from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from monai.visualize import GradCAM
from planewise.networks import (
    AlexNetEncoder,
    DenseNetEncoder,
    ResNetEncoder,
    StackClassifier,
    VggEncoder,
    ViTEncoder,
    saliency_maps,
)
from torch.nn.functional import interpolate, max_pool2d


@pytest.fixture
def network() -> StackClassifier:
    torch.manual_seed(1)  # a seed with which each finding has evidence somewhere
    return StackClassifier(AlexNetEncoder((4, 6, 8, 8, 10)), 3)


@pytest.fixture
def stack() -> torch.Tensor:
    return torch.randn(1, 64, 96, 5, generator=torch.Generator().manual_seed(1))


def monais(network: StackClassifier, stack: torch.Tensor, finding: int) -> torch.Tensor:
    """The maps that MONAI's own class computes from a copy of the network."""
    cam = GradCAM(deepcopy(network).eval(), target_layers="encoder.features.11")
    maps = cam.compute_map(stack[None].clone().requires_grad_(True), class_idx=finding).detach()
    maps = interpolate(maps, size=stack.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    return maps / maps.max().clamp_min(1e-12)


@pytest.mark.parametrize("finding", [0, 1, 2])
def test_it_is_monais_grad_cam(network, stack, finding):
    assert torch.equal(saliency_maps(network, stack, finding), monais(network, stack, finding))


def test_the_network_stays_as_it_was(network, stack):
    network.freeze(["encoder"])
    network.train()
    modes = [module.training for module in network.modules()]
    with torch.no_grad():
        saliency_maps(network, stack, 0)
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    "encoder",
    [
        AlexNetEncoder((2, 3, 4, 4, 6)),
        DenseNetEncoder(4, 2, (1, 1, 1, 1)),
        ResNetEncoder((2, 8, 16, 32, 64), (1, 1, 1, 1)),
        VggEncoder((2, 3, 4, 5, 6), (1, 1, 1, 1, 1)),
        ViTEncoder(64, 16, 8, 8, 4, 2),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_the_activations_of_an_encoder_are_those_that_its_features_are_pooled_from(encoder):
    kept = []
    encoder.get_submodule(encoder.last_features).register_forward_hook(lambda module, given, made: kept.append(made))
    deepest = encoder.eval()(torch.rand(1, 1, 64, 64))[-1]
    (activations,) = kept
    pooling = activations.shape[2] // deepest.shape[2]
    assert activations.shape[1] == encoder.out_channels and pooling in (1, 2, 3)
    shown = activations if pooling == 1 else max_pool2d(activations, pooling, 2)
    assert torch.equal(shown.relu() if isinstance(encoder, DenseNetEncoder) else shown, deepest)
