"""Test the parts that SimCLR, BYOL and SimSiam train in addition to the network that is kept."""

from __future__ import annotations

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import (
    ByolLearner,
    EmbeddingNet,
    ProjectionHead,
    SimClrLearner,
    SimSiamLearner,
    UNetEncoder,
)


def network() -> EmbeddingNet:
    torch.manual_seed(0)
    return EmbeddingNet(UNetEncoder((4, 6, 8), norm="instance"))


def head(inner: int = 8, norm: str = "none") -> ProjectionHead:
    return ProjectionHead(inner, 5, 3, norm)


def test_simclr_projects_each_view_of_each_slice():
    net, projector = network(), head()
    views = torch.randn(3, 2, 16, 16)
    projected = SimClrLearner(net, projector)(views)
    assert projected.shape == (3, 2, 3)
    for number in range(3):
        for view in range(2):
            alone = projector(net(views[number, view][None, None]))[0]
            assert torch.allclose(projected[number, view], alone, atol=1e-5)


def test_byol_predicts_from_each_view_and_projects_it_by_the_target():
    net, projector, predictor = network(), head(), head(3)
    learner = ByolLearner(net, projector, predictor)
    for weight in learner.target_network.parameters():
        weight.mul_(1.5)
    views = torch.randn(3, 2, 16, 16)
    output = learner(views)
    assert output.shape == (3, 2, 2, 3)
    for number in range(3):
        for view in range(2):
            image = views[number, view][None, None]
            online = predictor(projector(net(image)))[0]
            target = learner.target_projector(learner.target_network(image))[0]
            assert torch.allclose(output[number, view, 0], online, atol=1e-5)
            assert torch.allclose(output[number, view, 1], target, atol=1e-5) and not torch.allclose(online, target)
    output.sum().backward()
    assert all(weight.grad is not None for part in (net, projector, predictor) for weight in part.parameters())
    assert all(weight.grad is None for name, weight in learner.named_parameters() if name.startswith("target"))


def test_the_targets_weights_after_some_steps_are_the_closed_form():
    learner = ByolLearner(network(), head(), head(3))
    before = [weight.clone() for weight in learner.target_network.parameters()]
    with torch.no_grad():
        for weight in learner.network.parameters():
            weight.add_(1.0)
    for _ in range(5):
        learner.follow(0.9)
    for old, slow, fast in zip(before, learner.target_network.parameters(), learner.network.parameters(), strict=True):
        assert torch.allclose(slow, 0.9**5 * old + (1 - 0.9**5) * fast, atol=1e-6)
    learner.follow(0.0)
    assert all(map(torch.equal, learner.target_projector.parameters(), learner.projector.parameters()))


def test_simsiam_predicts_from_each_view_with_the_same_weights():
    net, projector, predictor = network(), head(norm="batch"), head(3)
    learner = SimSiamLearner(net, projector, predictor)
    views = torch.randn(4, 2, 16, 16)
    output = learner(views)
    assert output.shape == (4, 2, 2, 3)
    for view in range(2):
        z = projector(net(views[:, view, None]))  # one view at a time, because each view has its own batch statistics
        assert torch.allclose(output[:, view, 1], z, atol=1e-5)
        assert torch.allclose(output[:, view, 0], predictor(z), atol=1e-5)


def test_simsiam_stops_the_gradient_of_the_projections():
    net, projector, predictor = network(), head(), head(3)
    output = SimSiamLearner(net, projector, predictor)(torch.randn(4, 2, 16, 16))
    of_projections = torch.autograd.grad(output[:, :, 1].sum() + 0 * output.sum(), net.parameters(), retain_graph=True)
    assert not any(gradient.any() for gradient in of_projections)
    output[:, :, 0].sum().backward()
    assert all(weight.grad is not None for part in (net, projector, predictor) for weight in part.parameters())


def test_simsiam_refuses_a_batch_of_one_slice_in_training_alone():
    learner = SimSiamLearner(network(), head(norm="batch"), head(3))
    with pytest.raises(InputError, match="--batch_size of 2 or more"):
        learner(torch.randn(1, 2, 16, 16))
    assert learner.eval()(torch.randn(1, 2, 16, 16)).shape == (1, 2, 2, 3)
