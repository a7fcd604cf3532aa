"""Test how weights are loaded, and how networks are placed on a device."""

from __future__ import annotations

import logging

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import (
    AlexNetDecoder,
    AlexNetEncoder,
    LocationHead,
    SliceNet,
    UNetDecoder,
    UNetEncoder,
    load_pretrained,
    not_finite,
    place_network,
    read_weights,
    weights_of,
)
from planewise.networks.pretrained import for_channels
from safetensors.torch import save_file
from torch import nn

from .test_slice_net import FEATURES, network


def segmenter() -> SliceNet:
    torch.manual_seed(1)
    return SliceNet(UNetEncoder(FEATURES), UNetDecoder(FEATURES), 4)


@pytest.fixture
def pretext(tmp_path):
    net = network()
    torch.save(net.state_dict(), tmp_path / "model.pt")
    return net, tmp_path / "model.pt"


def test_encoder_and_decoder_move_the_head_stays(pretext, caplog):
    source, path = pretext
    with caplog.at_level(logging.INFO):
        net = load_pretrained(segmenter(), path)
    for name, value in net.state_dict().items():
        if name.startswith("head"):
            assert torch.equal(value, segmenter().state_dict()[name])
        else:
            assert torch.equal(value, source.state_dict()[name])
    own, loaded = len(net.state_dict()), len(net.state_dict()) - 2
    assert f"loaded {loaded} of {own} tensors" in caplog.text
    assert "left at random: head 2" in caplog.text and "ignored: head 2" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    torch.save({"encoder.a": torch.ones(3), "head.b": torch.tensor([1.0, value])}, tmp_path / "model.pt")
    with pytest.raises(InputError):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_that_are_not_finite_are_named_whatever_their_sum(dtype):
    """Finite weights pass even if their sum overflows, and others are named even if they would cancel out."""
    largest = torch.full((5,), torch.finfo(dtype).max, dtype=dtype)
    weights = {"large": largest, "small": torch.ones(3, dtype=dtype), "count": torch.tensor(3), "empty": torch.ones(0)}
    assert not_finite(weights) == []
    for value in (float("nan"), float("inf"), -float("inf")):
        weights["bad"] = torch.tensor([1, value, -value], dtype=dtype)
        assert not_finite(weights) == ["bad"]
    assert not_finite({}) == []


def test_parts_that_are_not_asked_for_are_left_out(pretext, caplog):
    source, path = pretext
    with caplog.at_level(logging.INFO):
        net = load_pretrained(segmenter(), path, ["encoder"])
    fresh, given = segmenter().state_dict(), source.state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, given[name] if name.startswith("encoder.") else fresh[name]), name
    decoder = sum(name.startswith("decoder.") for name in fresh)
    assert f"left out, because only encoder is loaded: decoder {decoder}" in caplog.text


def test_safetensors_load_like_pytorchs_files(pretext, tmp_path):
    source, path = pretext
    save_file(source.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    found, given = load_pretrained(segmenter(), tmp_path / "model.safetensors"), load_pretrained(segmenter(), path)
    assert all(torch.equal(value, given.state_dict()[name]) for name, value in found.state_dict().items())
    (tmp_path / "model.safetensors").write_bytes(path.read_bytes())
    with pytest.raises(InputError):
        read_weights(tmp_path / "model.safetensors")


def test_another_backbone_is_an_error(pretext):
    wide = SliceNet(UNetEncoder((32, 64)), UNetDecoder((32, 64)), 4)
    with pytest.raises(InputError):
        load_pretrained(wide, pretext[1])


def test_nothing_that_fits_is_an_error(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError):
        load_pretrained(segmenter(), tmp_path / "other.pt")
    torch.save({"decoder.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError):
        load_pretrained(segmenter(), tmp_path / "other.pt", parts=["encoder"])
    torch.save(nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError):
        load_pretrained(nn.Conv2d(1, 1, 1), tmp_path / "other.pt", parts=["encoder"])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b"not weights"),
        lambda path: torch.save({"epoch": 3}, path),
        lambda path: torch.save({1: torch.ones(2)}, path),
        lambda path: torch.save({1: torch.ones(2), "a": torch.ones(1)}, path),
        lambda path: torch.save(Exploding(), path),
    ],
)
def test_files_that_are_no_weights(tmp_path, write):
    write(tmp_path / "w.pt")
    with pytest.raises(InputError):
        load_pretrained(segmenter(), tmp_path / "w.pt")


class Exploding:
    """A pickle that would run code when it is loaded without `weights_only`."""

    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was run",))


def test_weights_of_another_network_are_refused_where_all_must_fit(tmp_path):
    (tmp_path / "models").mkdir()
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "models/model.pt")
    assert set(weights_of(nn.Linear(3, 2), tmp_path)) == {"weight", "bias"}
    with pytest.raises(InputError):
        weights_of(nn.Linear(3, 1), tmp_path)
    with pytest.raises(InputError):
        weights_of(nn.Linear(3, 2, bias=False), tmp_path)


@pytest.mark.parametrize(
    ("given", "own", "copied"),
    [
        ((4, 1, 3, 3), (4, 3, 3, 3), True),
        ((4, 2, 3, 3, 3), (4, 4, 3, 3, 3), True),
        ((4, 2, 3, 3), (4, 3, 3, 3), False),  # 3 is not a multiple of 2
        ((4, 3, 3, 3), (4, 1, 3, 3), False),  # fewer channels than in the file
        ((5, 1, 3, 3), (4, 3, 3, 3), False),
        ((4, 1, 3, 5), (4, 3, 3, 3), False),
        ((4, 1, 3, 3), (4, 3, 3, 3, 3), False),
    ],
)
def test_a_first_layer_is_copied_to_a_multiple_of_its_channels(given, own, copied):
    weight = torch.rand(given)
    found = for_channels(weight, torch.zeros(own))
    assert torch.equal(
        found, torch.cat([weight[:, [k * given[1] // own[1]]] for k in range(own[1])], 1) if copied else weight
    )


IMAGE = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def unet(seed: int = 0) -> SliceNet:
    torch.manual_seed(seed)
    return SliceNet(UNetEncoder((4, 8)), UNetDecoder((4, 8)), 2, LocationHead(8)).eval()


def is_channels_last(network: nn.Module) -> bool:
    weights = [
        module.weight for module in network.modules() if isinstance(module, nn.Conv2d) and module.in_channels > 1
    ]
    answers = {weight.is_contiguous(memory_format=torch.channels_last) for weight in weights if weight.shape[2] > 1}
    (answer,) = answers
    return answer


@pytest.mark.parametrize(("setting", "expected"), [(True, True), ("true", True), (False, False), ("false", False)])
def test_channels_last(setting, expected):
    network = unet()
    names, output = list(network.state_dict()), network(IMAGE)
    placed = place_network(network, "cpu", channels_last=setting)
    assert placed is network and list(placed.state_dict()) == names
    assert is_channels_last(placed) is expected
    assert torch.allclose(placed(IMAGE), output, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "expected"), [(7, 1, 2, False), (8, 1, 2, True), (7, 1, 1, True), (7, 2, 2, True)]
)
def test_a_convolution_for_which_torch_writes_outside_its_memory_keeps_the_usual_format(
    channels, kernel, stride, expected
):
    network = nn.Sequential(nn.Conv2d(channels, 4, kernel, stride), nn.Conv2d(4, 8, 3))
    assert is_channels_last(place_network(network, "cpu")) is expected


@pytest.fixture
def quick_compiler(monkeypatch) -> list[nn.Module]:
    """``torch.compile`` without the step that writes C++; returns the modules that were compiled."""
    compiled = []
    original = nn.Module.compile

    def compile_quickly(self, *args, **kwargs):
        compiled.append(self)
        original(self, *args, backend="eager", **kwargs)

    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    torch.compiler.reset()
    return compiled


def test_compiled_it_is_the_same_network(quick_compiler):
    plain, network = unet(), unet()
    placed = place_network(network, "cpu", compiled="True")
    assert placed is network and quick_compiler == [network]
    assert torch.allclose(placed(IMAGE), plain(IMAGE), atol=1e-6)
    assert list(placed.state_dict()) == list(plain.state_dict()), "checkpoints are interchangeable"
    placed.load_state_dict(unet(seed=6).state_dict())
    assert torch.allclose(placed(IMAGE), unet(seed=6)(IMAGE), atol=1e-6), "weights that come later count"
    torch.compile(network, backend="eager", fullgraph=True)(IMAGE)  # which fails if it is compiled in several parts


def test_a_decoder_that_pads_is_left_out(quick_compiler):
    features = (4, 6, 8, 8, 10)
    network = SliceNet(AlexNetEncoder(features), AlexNetDecoder(features), 2)
    place_network(network, "cpu", compiled=True)
    assert quick_compiler == [network.encoder]
