from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from planewise.networks import (
    AlexNetDecoder,
    AlexNetEncoder,
    LocationHead,
    SliceNet,
    UNetDecoder,
    UNetEncoder,
    place_network,
)
from torch import nn

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


def test_compiled_it_is_the_same_network(quick_compiler, tmp_path):
    plain, network = unet(), unet()
    placed = place_network(network, "cpu", compiled="True")
    assert placed is network and quick_compiler == [network]
    assert torch.allclose(placed(IMAGE), plain(IMAGE), atol=1e-6)
    # checkpoints are interchangeable
    assert list(placed.state_dict()) == list(plain.state_dict())
    torch.save(placed.state_dict(), tmp_path / "model.pt")
    other = unet(seed=5)
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(other(IMAGE), plain(IMAGE))
    placed.load_state_dict(unet(seed=6).state_dict())
    assert torch.allclose(placed(IMAGE), unet(seed=6)(IMAGE), atol=1e-6), "weights that come later count"
    # copies and exports contain the network, not a reference to it
    for copy in (deepcopy(placed), torch.jit.script(placed)):
        assert torch.allclose(copy(IMAGE), placed(IMAGE), atol=1e-6)


def test_a_decoder_that_pads_is_left_out(quick_compiler):
    features = (4, 6, 8, 8, 10)
    network = SliceNet(AlexNetEncoder(features), AlexNetDecoder(features), 2)
    place_network(network, "cpu", compiled=True)
    assert quick_compiler == [network.encoder]
