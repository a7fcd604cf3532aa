from __future__ import annotations

import copy

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import DenseNetEncoder, EmbeddingNet, TwoPhaseClassifier, VggEncoder, load_both_phases

from tests.networks.test_vgg import SMALL, torchvision_weights


def network(**settings) -> TwoPhaseClassifier:
    torch.manual_seed(0)
    net = TwoPhaseClassifier(VggEncoder(SMALL, (1, 1, 1, 1, 1)), 5, **settings)
    with torch.no_grad():  # different weights for each phase, so that the phases can be distinguished
        for value in net.encoder.es.parameters():
            value.add_(0.05 * torch.randn(value.shape))
    return net.eval()


def test_it_is_two_encoders_a_mean_over_slices_and_one_layer():
    """The reference goes slice by slice, exam by exam."""
    net, image = network(), torch.randn(3, 2, 32, 48, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]], dtype=torch.bool)
    with torch.no_grad():
        for exam in range(3):
            features = []
            for phase, encoder in enumerate((net.encoder.ed, net.encoder.es)):
                slices = [image[exam, phase, :, :, k] for k in range(4) if mask[exam, k]]
                seen = [encoder(one[None, None])[-1].mean((2, 3))[0] for one in slices]
                features.append(sum(seen) / len(seen))
            expected = net.head(torch.cat(features))
            assert torch.allclose(net(image, mask)[exam], expected, atol=1e-5)
        assert torch.allclose(net(image), net(image, torch.ones(3, 4)), atol=1e-6)
        # padding has no influence
        other = image.clone()
        other[1, :, :, :, 1:] = 1e3
        assert torch.equal(net(other, mask)[1], net(image, mask)[1])
        assert not torch.allclose(net(image.flip(1)), net(image), atol=1e-3), "swapping the phases changes the output"
    scripted = torch.jit.script(net)
    assert torch.allclose(scripted(image, mask), net(image, mask), atol=1e-6)


def test_batch_normalisation_does_not_see_what_fills_up():
    """In training, the batch statistics cover three slices, two of one exam and one of the other, and not the padding."""
    torch.manual_seed(0)
    net = TwoPhaseClassifier(DenseNetEncoder(6, 4, (1, 1, 1, 1)), 5).train()
    alike, image = copy.deepcopy(net), torch.randn(2, 2, 32, 32, 2)
    mask = torch.tensor([[1, 1], [1, 0]], dtype=torch.bool)
    features = [
        encoder(torch.stack([image[0, phase, ..., 0], image[0, phase, ..., 1], image[1, phase, ..., 0]])[:, None])[-1]
        for phase, encoder in enumerate((alike.encoder.ed, alike.encoder.es))
    ]
    found = torch.cat([level.mean((2, 3)) for level in features], dim=1)
    expected = alike.head(torch.stack([(found[0] + found[1]) / 2, found[2]]))
    assert torch.allclose(net(image, mask), expected, atol=1e-5)
    statistics = {name: value for name, value in alike.state_dict().items() if "running" in name}
    assert statistics and all(torch.equal(net.state_dict()[name], value) for name, value in statistics.items())


def test_features_are_standardised_before_the_linear_layer():
    """Training uses batch statistics; evaluation, and a batch of one, use running statistics, with frozen encoders or
    without.
    """
    net, image = network(standardize=True, frozen=["encoder"]), torch.randn(6, 2, 32, 32, 3)
    assert {name for name in net.state_dict() if name.startswith("standard.")} >= {
        "standard.running_mean",
        "standard.running_var",
    }
    heads = []
    with torch.no_grad(), net.standard.register_forward_pre_hook(lambda _, inputs: heads.append(inputs[0])):
        net(image)
    features = heads[0]
    net.train()
    with torch.no_grad():
        expected = (features - features.mean(0)) / (features.var(0, unbiased=False) + 1e-5).sqrt()
        assert torch.allclose(net(image), net.head(expected), atol=1e-4)
        for _ in range(200):
            net(image)
        by_all = net.head((features - features.mean(0)) / (features.var(0) + 1e-5).sqrt())
        one = net(image[:1])
        assert torch.allclose(one, by_all[:1], atol=1e-3), "a batch of one has no spread of its own"
        assert torch.allclose(net.eval()(image), by_all, atol=1e-3)
        assert torch.allclose(torch.jit.script(net)(image), net(image), atol=1e-6)
        assert torch.allclose(torch.jit.script(net.train())(image), net.head(expected), atol=1e-4)


def test_pretrained_weights_go_into_both_phases(tmp_path):
    torch.manual_seed(1)
    pretext = EmbeddingNet(VggEncoder(SMALL, (1, 1, 1, 1, 1))).state_dict()
    torch.save(pretext, tmp_path / "model.pt")
    net = load_both_phases(network(), tmp_path / "model.pt")
    for name, value in pretext.items():
        for phase in ("ed", "es"):
            assert torch.equal(net.state_dict()[name.replace("encoder.", f"encoder.{phase}.")], value)
    # a public file
    weights = torchvision_weights()
    torch.save(weights, tmp_path / "vgg16.pth")
    net = load_both_phases(TwoPhaseClassifier(VggEncoder(SMALL), 5), tmp_path / "vgg16.pth")
    for phase in (net.encoder.ed, net.encoder.es):
        assert torch.equal(phase.features[28].weight, weights["features.28.weight"])
    # the weights of a two-phase classifier whose phases differ
    other = network()
    torch.save(other.state_dict(), tmp_path / "own.pt")
    net = load_both_phases(TwoPhaseClassifier(VggEncoder(SMALL, (1, 1, 1, 1, 1)), 5), tmp_path / "own.pt")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())
    before = network().state_dict()
    assert all(
        torch.equal(value, before[name]) for name, value in load_both_phases(network(), None).state_dict().items()
    )
    with pytest.raises(InputError):
        load_both_phases(TwoPhaseClassifier(DenseNetEncoder(6, 4, (1, 1, 1, 1)), 5), tmp_path / "model.pt")
