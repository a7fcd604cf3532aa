from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from planewise.engines import AutocastInferer, allow_tf32, precision, start_run
from planewise.engines.precision import ExactThinVolumes
from planewise.errors import InputError
from planewise.losses import MultitaskLoss
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
    "maps and location": lambda: SliceNet(UNetEncoder((4, 8)), UNetDecoder((4, 8)), 2, LocationHead(8, "max", [6])),
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


def test_a_torch_that_does_not_know_the_instructions_computes_in_float32(monkeypatch):
    """In torch 2.4, neither function exists."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert precision("auto", "cpu") == "float32"


@pytest.mark.parametrize("amp", [True, "true", "True"])
def test_true_is_mixed_whatever_the_instructions(amp, processor, gpu):
    gpu(bfloat16=False)
    assert precision(amp, "cpu") == "bfloat16" and precision(amp, "cuda") == "float16"
    gpu(bfloat16=True)
    assert precision(amp, "cuda") == "bfloat16"


@pytest.mark.parametrize("amp", [False, None, "false", "False", "None", "null", "float32"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_false_is_float32(amp, device, processor):
    processor(avx512_bf16=True, amx=True)
    assert precision(amp, device) == "float32"


def test_by_name():
    assert precision("bfloat16", "cpu") == precision("bfloat16", "cuda") == "bfloat16"
    assert precision("float16", "cuda:0") == "float16"
    with pytest.raises(InputError):
        precision("float16", "cpu")
    with pytest.raises(InputError):
        precision("half", "cpu")


@pytest.fixture
def products() -> Iterator[tuple]:
    """The places where torch stores whether products may be rounded; the values are restored afterwards."""
    kept = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [each.allow_tf32 for each in kept]
    yield kept
    for each, allowed in zip(kept, before, strict=True):
        each.allow_tf32 = allowed


@pytest.mark.parametrize(("setting", "allowed"), [("false", False), ("True", True), (True, True), (False, False)])
def test_tf32(setting, allowed, products):
    for each in products:
        each.allow_tf32 = not allowed
    allow_tf32(setting)
    assert [each.allow_tf32 for each in products] == [allowed, allowed]


def test_training_and_inference_set_tf32(products, tmp_path):
    config = {"imports": ["$import planewise"], "initialize": "$planewise.engines.check_run()"}
    for allowed in (True, False):
        for start in (
            lambda allowed=allowed: start_run(tmp_path / str(allowed), 0, tf32=allowed),
            lambda allowed=allowed: ConfigParser(config | {"tf32": allowed}).get_parsed_content("initialize"),
        ):
            for each in products:
                each.allow_tf32 = not allowed
            start()
            assert [each.allow_tf32 for each in products] == [allowed, allowed]


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


@pytest.mark.parametrize("amp", [False, "bfloat16"])
def test_whatever_the_network_gives_its_output_is_float32(amp):
    image = torch.rand(1, 1, 4, 4)
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        output = AutocastInferer(amp)(image, lambda inputs, kind=kind: inputs.to(kind))
        assert output.dtype == torch.float32 and torch.allclose(output, image, atol=0.01)


def test_the_inferer_hands_on_what_else_the_network_takes():
    network = NETWORKS["stacks"]().eval()
    stacks, mask = image_for(network), torch.tensor([[True] * 5, [True, True, False, False, False]])
    assert torch.equal(AutocastInferer()(stacks, network, mask=mask), network(stacks, mask))
    assert torch.equal(AutocastInferer()(stacks, network, mask), network(stacks, mask))


def test_losses_metrics_and_weights_stay_float32_in_monais_engines():
    torch.manual_seed(0)
    network = NETWORKS["maps and location"]()
    image = torch.randn(2, 1, 16, 16)
    batch = {"image": image, "label": {"heatmaps": torch.rand(2, 2, 16, 16), "location": torch.rand(2)}}
    shared = {"device": "cpu", "network": network, "inferer": AutocastInferer("bfloat16"), "decollate": False}
    shared["prepare_batch"] = lambda batch, *_, **__: (batch["image"], batch["label"])
    trainer = SupervisedTrainer(
        max_epochs=2,
        train_data_loader=[batch],
        optimizer=torch.optim.Adam(network.parameters()),
        loss_function=MultitaskLoss(),
        **shared,
    )
    trainer.run()
    evaluator = SupervisedEvaluator(val_data_loader=[batch], **shared)
    evaluator.run()
    for output in (trainer.state.output, evaluator.state.output):
        assert output["pred"].dtype == torch.float32
    assert trainer.state.output["loss"].dtype == torch.float32
    assert all(term.mean.dtype == torch.float32 for term in trainer.loss_function.last_terms)
    moments = [value for state in trainer.optimizer.state.values() for value in state.values()]
    for value in [*network.state_dict().values(), *moments]:
        assert value.dtype in (torch.float32, torch.int64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("amp", ["bfloat16", "float16"])
def test_float32_comes_back_on_cuda(amp):
    network = NETWORKS["maps and location"]().cuda()
    image = torch.randn(2, 1, 16, 16, device="cuda")
    with torch.autocast("cuda", enabled=amp == "float16"):  # MONAI's engines do this only for float16
        assert AutocastInferer(amp)(image, network).dtype == torch.float32


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
