from __future__ import annotations

import pytest
import torch
from planewise.engines import AutocastInferer, precision
from planewise.engines.precision import ExactThinVolumes
from planewise.networks import (
    AlexNetDecoder,
    AlexNetEncoder,
    DenseNetEncoder,
    LocationHead,
    ResidualDecoder,
    ResidualEncoder,
    SharedEncoderNet,
    SliceNet,
    StackClassifier,
    UNetDecoder,
    UNetEncoder,
)
from torch import Tensor, nn

NETWORKS = {
    "maps and location": lambda: SliceNet(UNetEncoder((4, 8)), UNetDecoder((4, 8)), 2, LocationHead(8)),
    "location": lambda: SliceNet(AlexNetEncoder((4, 6, 8, 8, 10)), location=LocationHead(10)),
    "maps of AlexNet": lambda: SliceNet(AlexNetEncoder((4, 6, 8, 8, 10)), AlexNetDecoder((4, 6, 8, 8, 10)), 2),
    "stacks": lambda: StackClassifier(AlexNetEncoder((4, 6, 8, 8, 10)), 3),
    "maps of volumes": lambda: SliceNet(ResidualEncoder((4, 8)), ResidualDecoder((4, 8)), 2, spatial_dims=3),
    "grades": lambda: SharedEncoderNet(DenseNetEncoder(8, 4, (1, 1, 1, 1)), 1, 4),
}


@pytest.fixture
def processor(monkeypatch):
    """A function that sets which instructions the processor pretends to have."""

    def set_to(avx512_bf16: bool = False, amx: bool = False) -> None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    set_to()
    return set_to


@pytest.fixture
def gpu(monkeypatch):
    """A function that sets whether the GPU computes in bfloat16; if it does not, torch emulates bfloat16."""

    def set_to(bfloat16: bool) -> None:
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16 or including_emulation
        )

    return set_to


@pytest.mark.parametrize("amp", ["auto", "Auto"])
def test_auto_goes_by_the_instructions(amp, processor, gpu):
    assert precision(amp, "cpu") == "float32"
    processor(avx512_bf16=True)
    assert precision(amp, "cpu") == "bfloat16"
    processor(amx=True)
    assert precision(amp, torch.device("cpu")) == "bfloat16"
    gpu(bfloat16=True)
    assert precision(amp, "cuda:1") == "bfloat16"
    gpu(bfloat16=False)
    assert precision(amp, "cuda") == "float16"
    assert precision(amp, "mps") == "float32"


@pytest.mark.parametrize("amp", [False, None, "false", "False", "None", "null", "float32"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_false_is_float32(amp, device, processor):
    processor(avx512_bf16=True, amx=True)
    assert precision(amp, device) == "float32"


def image_for(network: nn.Module) -> Tensor:
    torch.manual_seed(1)
    volumes = any(isinstance(layer, nn.Conv3d) for layer in network.modules())
    depth = [5] if isinstance(network, StackClassifier) else [8] if volumes else []
    return torch.randn(2, 1, *[16, 16] if volumes else [64, 64], *depth)


def kinds_of_convolution(network: nn.Module, run) -> set[torch.dtype]:
    """The data types of the convolutions' results."""
    kinds = set()
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))]
    handles = [layer.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype)) for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return kinds


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_inferer_computes_in_bfloat16_and_gives_float32(network):
    torch.manual_seed(0)
    network = network().eval()
    image = image_for(network)
    outputs = {}

    def infer(amp) -> None:
        outputs[amp] = AutocastInferer(amp)(image, network)

    assert kinds_of_convolution(network, lambda: infer(True)) == {torch.bfloat16}
    assert kinds_of_convolution(network, lambda: infer(False)) == {torch.float32}
    assert torch.equal(outputs[False], network(image)), "exactly the same result as without it"
    assert outputs[True].dtype == torch.float32
    assert not torch.equal(outputs[True], outputs[False])
    assert torch.allclose(outputs[True], outputs[False], atol=0.03 * outputs[False].detach().abs().max().item())
    outputs[True].sum().backward()
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 3), (3, 3), (2, 5), (4, 5), (6, 5)])
def test_gradients_are_those_of_float32(depth, kernel):
    torch.manual_seed(0)
    layer, volumes = nn.Conv3d(16, 16, kernel, padding=kernel // 2), torch.randn(8, 16, depth, 4, 4)
    found = {}
    for amp in ("float32", "bfloat16"):
        layer.zero_grad()
        inferer = AutocastInferer(amp)
        for _ in range(5):
            # a kernel that reads freed memory would return these values
            torch.full((2**18,), torch.nan).sum()
            inferer(volumes, layer).square().mean().backward()
        found[amp] = layer.weight.grad.clone()
    assert torch.allclose(found["bfloat16"], found["float32"], atol=0.05 * float(found["float32"].abs().max()))


def test_only_thin_ones_are_in_float32():
    types = {}

    def network(volumes: torch.Tensor) -> torch.Tensor:
        layer = nn.Conv3d(1, 2, 3, padding=1)
        outputs = {depth: layer(volumes[:, :, :depth]) for depth in (2, 3)}
        types.update({depth: output.dtype for depth, output in outputs.items()})
        return outputs[3]

    inferer, volumes = AutocastInferer("bfloat16"), torch.randn(1, 1, 4, 4, 4)
    inferer(volumes, network)
    assert types == {2: torch.float32, 3: torch.bfloat16}
    with torch.no_grad():
        inferer(volumes, network)
    assert types == {2: torch.bfloat16, 3: torch.bfloat16}, "without gradients there is nothing to work around"
    with ExactThinVolumes():
        assert nn.Conv3d(1, 2, 3)(volumes).dtype == torch.float32
