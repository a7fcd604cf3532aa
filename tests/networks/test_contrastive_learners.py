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
    encoder_features,
)


def network() -> EmbeddingNet:
    torch.manual_seed(0)
    return EmbeddingNet(UNetEncoder((4, 6, 8), norm="instance"))


def head(inner: int = 8, norm: str = "none") -> ProjectionHead:
    return ProjectionHead(inner, 5, 3, norm)


def test_an_embedding_is_the_encoders_features():
    net, image = network(), torch.randn(2, 1, 16, 16)
    assert torch.equal(net(image), encoder_features(net, image)) and net.out_channels == 8
    assert torch.allclose(torch.jit.script(net)(image), net(image))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_head_has_two_layers(norm):
    layers = [type(layer).__name__ for layer in head(norm=norm).layers]
    assert layers == ["Linear", *(["BatchNorm1d"] if norm == "batch" else []), "ReLU", "Linear"]
    assert head(norm=norm)(torch.randn(4, 8)).shape == (4, 3)
    with pytest.raises(ValueError, match="'batch' or 'none'"):
        head(norm="layer")


def test_a_head_may_have_three_layers_and_end_in_a_normalisation():
    deep = ProjectionHead(8, 5, 3, layers=3, last_norm=True)
    names = ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert [type(layer).__name__ for layer in deep.layers] == names
    assert [layer.weight.shape for layer in deep.layers if hasattr(layer, "in_features")] == [(5, 8), (5, 5), (3, 5)]
    assert [layer.bias is not None for layer in deep.layers if hasattr(layer, "in_features")] == [False] * 3
    plain = ProjectionHead(8, 5, 3, layers=3, last_norm="false")
    biases = [layer.bias is not None for layer in plain.layers if hasattr(layer, "in_features")]
    assert biases == [False, False, True], "a normalisation would remove a bias before it"
    assert all(layer.bias is not None for layer in head().layers if hasattr(layer, "in_features"))
    assert deep(torch.randn(64, 8)).mean(dim=0).abs().max() < 1e-5
    assert len(ProjectionHead(8, 5, 3, "none", layers=3, last_norm=True).layers) == 5


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
