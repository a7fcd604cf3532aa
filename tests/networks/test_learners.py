"""Test the parts that are trained together with a network."""

from __future__ import annotations

import pytest
import torch
from planewise.engines import AutocastInferer
from planewise.errors import InputError
from planewise.networks import (
    ByolLearner,
    EmbeddingNet,
    LocationHead,
    PredictiveCodingLearner,
    ProjectionHead,
    ResidualEncoder,
    SimClrLearner,
    SimSiamLearner,
    SliceNet,
    TwoHeadLearner,
    UNetDecoder,
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
    with pytest.raises(InputError):
        learner(torch.randn(1, 2, 16, 16))
    assert learner.eval()(torch.randn(1, 2, 16, 16)).shape == (1, 2, 2, 3)


def learner_of(side: int, axes: int, rows: int = 2) -> PredictiveCodingLearner:
    torch.manual_seed(0)
    network = EmbeddingNet(ResidualEncoder((4, 8), 2, "instance", axes))
    return PredictiveCodingLearner(network, ProjectionHead(8, 6, 5, "none"), side, rows, 7, axes).eval()


@pytest.mark.parametrize(("side", "axes"), [(3, 3), (4, 2)])
def test_scores_are_those_of_the_equations(side, axes):
    """The reference runs one context at a time through a GRU, with only its own sequence."""
    learner = learner_of(side, axes)
    patches = torch.rand(2, side**axes * 2, *[6] * axes)
    rows = [tuple(number // side**power % side for power in range(axes - 1, -1, -1)) for number in range(side**axes)]
    with torch.no_grad():
        scores = learner(patches)
        for image in range(2):
            z = [
                learner.projector(learner.network(patches[image, None, 2 * p : 2 * p + 2]))[0]
                for p in range(side**axes)
            ]
            expected = []
            for i, *rest in rows:
                pyramid = [
                    z[number]
                    for number, (u, *others) in enumerate(rows)
                    if u <= i and all(abs(v - j) <= i - u for v, j in zip(others, rest, strict=True))
                ]
                _, c = learner.context(torch.stack(pyramid)[None])
                for ahead in (1, 2):
                    if i + ahead < side:
                        predicted = learner.predictors[ahead - 1](c[0, 0])
                        expected.append([float(predicted @ other) for other in z])
            assert torch.allclose(scores[image], torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize(("side", "axes"), [(4, 3), (5, 2)])
def test_no_patch_of_a_predicted_row_is_in_the_context(side, axes):
    learner, row = learner_of(side, axes), side ** (axes - 1)
    embedded = torch.randn(2, side**axes, 5)
    with torch.no_grad():
        contexts = learner.contexts(embedded)
        for below in range(1, side):
            changed = embedded.clone()
            changed[:, below * row :] = torch.randn(2, (side - below) * row, 5)
            found = learner.contexts(changed)
            assert torch.equal(found[:, : below * row], contexts[:, : below * row])
            if below < side - 1:
                # contexts also depend on the patch's own embedding
                assert not torch.isclose(found[:, below * row :], contexts[:, below * row :]).all(dim=2).any()


def test_mixed_precision_is_finite_and_what_is_made_anew_is_no_weight():
    learner = learner_of(3, 3).train()
    scores = AutocastInferer("bfloat16")(torch.rand(2, 54, 6, 6, 6), learner)
    assert scores.dtype == torch.float32 and scores.isfinite().all()
    scores.square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in learner.parameters())
    assert {name.split(".")[0] for name in learner.state_dict()} == {"network", "projector", "context", "predictors"}


WIDTHS = (4, 6, 8)


def net(maps: int, widths=WIDTHS, location: bool = False) -> SliceNet:
    decoder = UNetDecoder(widths) if maps else None
    return SliceNet(UNetEncoder(widths), decoder, maps, LocationHead(widths[-1]) if location else None)


def test_two_networks_have_one_body_and_a_head_each():
    network, other = net(4), net(10)
    names = list(network.state_dict())
    learner = TwoHeadLearner(network, other)
    assert other.encoder is network.encoder and other.decoder is network.decoder
    assert list(learner.state_dict()) == [*names, "other.head.maps.weight", "other.head.maps.bias"]
    assert list(network.state_dict()) == names, "the network that is kept does not change"
    before = network.head.maps.weight.clone()
    other(torch.randn(2, 1, 16, 16)).sum().backward()
    assert network.encoder.levels[0].conv_0.conv.weight.grad is not None
    assert network.head.maps.weight.grad is None and torch.equal(network.head.maps.weight, before)


def test_without_a_decoder_the_encoder_alone_is_shared():
    network, other = net(4), net(0, location=True)
    learner = TwoHeadLearner(network, other)
    assert other.encoder is network.encoder and other.decoder is None
    assert [name for name in learner.state_dict() if name.startswith("other.")] == [
        "other.head.location.layers.0.weight",
        "other.head.location.layers.0.bias",
    ]
