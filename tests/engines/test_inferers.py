"""Test how networks run on images, volumes and windows."""

from __future__ import annotations

import copy
from copy import deepcopy

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer
from planewise.engines import (
    AutocastInferer,
    FeatureInferer,
    HiddenPatchesInferer,
    SliceBatchInferer,
    WindowInferer,
    inferers,
    precision,
)
from planewise.engines.inferers import fuse
from planewise.errors import InputError
from planewise.networks import ResidualEncoder, SharedEncoderNet, place_network
from torch import nn


class Recorder(nn.Module):
    """Returns two channels for one, and records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Conv2d(1, 2, 3, padding=1)
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return self.network(image)


@pytest.fixture
def recorder() -> Recorder:
    torch.manual_seed(0)
    return Recorder().eval()


@pytest.fixture
def volumes() -> MetaTensor:
    return MetaTensor(torch.rand(2, 1, 8, 6, 5), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))


@torch.no_grad()
def test_gives_what_monais_slice_inferer_gives(recorder, volumes):
    ours = SliceBatchInferer(batch_size=4)(volumes, recorder)
    theirs = SliceInferer(roi_size=(8, 6), spatial_dim=2, sw_batch_size=4)(volumes, recorder.network)
    assert ours.shape == (2, 2, 8, 6, 5)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert isinstance(ours, MetaTensor) and torch.equal(ours.affine, volumes.affine)


def voxelwise(volume: torch.Tensor) -> torch.Tensor:
    """Two channels that depend on no neighbours."""
    return torch.cat([volume.square(), 1 - volume], dim=1)


@pytest.mark.parametrize("window", [None, 4, 8])
@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 6, 11)])
def test_windows_make_up_the_volume(window, shape):
    torch.manual_seed(0)
    affine = torch.diag(torch.tensor([2.0, 2, 3, 1], dtype=torch.float64))
    volume = MetaTensor(torch.rand(1, 1, *shape), affine=affine)
    output = WindowInferer(window)(volume, voxelwise)
    assert output.shape == (1, 2, *shape) and torch.equal(output.affine, affine)
    assert torch.allclose(output.as_tensor(), voxelwise(volume.as_tensor()), atol=1e-5)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_row_for_a_volume_or_for_each_slice(spatial_dims):
    torch.manual_seed(0)
    encoder = ResidualEncoder((4, 8), in_channels=2, spatial_dims=spatial_dims)
    network = SharedEncoderNet(encoder, 1, 10).eval()
    volume = torch.rand(2, 2, 8, 8, 4)
    with torch.no_grad():
        found = FeatureInferer(batch_size=3, spatial_dims=spatial_dims)(MetaTensor(volume), network)
        assert found.shape == (2, 8, 1 if spatial_dims == 3 else 4)
        for number in range(2):
            for place in range(found.shape[2]):
                seen = volume[number] if spatial_dims == 3 else volume[number, ..., place]
                expected = network.encoder(seen[None])[-1].flatten(2).mean(2)[0]
                assert torch.allclose(found[number, :, place], expected, atol=1e-6)


@pytest.mark.parametrize(("ratio", "groups"), [(0.75, 4), (0.5, 2), (0.6, 2), (0.9, 10), (0.1, 2)])
def test_every_patch_is_seen_once_and_the_groups_are_even(ratio, groups):
    seen = HiddenPatchesInferer(4, ratio).seen((24, 32))
    assert seen.shape == (groups, 24, 32)
    assert (seen.sum(dim=0) == 1).all()
    patches = seen[:, ::4, ::4].flatten(1).sum(dim=1)
    assert patches.max() - patches.min() <= 1
    whole = seen.reshape(groups, 6, 4, 8, 4).float().mean(dim=(2, 4))
    assert set(whole.unique().tolist()) == {0.0, 1.0}


def test_a_pixel_is_the_mean_of_what_was_guessed_while_it_was_hidden():
    """A network that predicts a constant for each call, plus 1000 times its input."""
    calls: list[torch.Tensor] = []

    def network(image: torch.Tensor) -> torch.Tensor:
        calls.append(image)
        return len(calls) + 1000 * image

    volumes = MetaTensor(torch.rand(1, 1, 12, 16, 3) + 1, affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    inferer = HiddenPatchesInferer(4, 0.75, batch_size=3)
    restored = inferer(volumes, network)
    assert isinstance(restored, MetaTensor) and torch.equal(restored.affine, volumes.affine)
    assert restored.shape == volumes.shape
    seen = inferer.seen((12, 16))
    for number, group in enumerate(seen):
        assert torch.equal(calls[number] != 0, group.expand(3, 1, 12, 16)), "the network sees only the other groups"
        # the four calls predict 1, 2, 3 and 4; the pixel gets the mean of the three calls in which it was hidden
        wanted = (10 - (number + 1)) / 3
        assert torch.allclose(restored.as_tensor()[0, 0, group], torch.tensor(wanted))


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    # the gradient of a bias before a normalisation is pure rounding error, which Adam scales up to full steps
    first = torch.nn.Conv2d(1, 3, 3, bias=False)
    return torch.nn.Sequential(first, torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 2, 3))


def learn(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(2, 1, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()
    return [weight.detach().clone() for weight in net.parameters()]


def operations(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    """Names of the operations that a step calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        learn(net, optimizer, 1)
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("now", [torch.contiguous_format, torch.channels_last])
def test_a_fused_step_learns_the_same(kind, before, now):
    """Also with moments that were saved in another memory format."""
    nets = [small().to(memory_format=each) for each in (before, now, now)]
    saved, first, second = (kind(net.parameters(), lr=0.01, weight_decay=1e-3) for net in nets)
    learn(nets[0], saved, 2)
    for optimizer in (first, second):
        optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))
    fuse(second)
    assert any("fused_adam" in name for name in operations(nets[2], second))
    assert not any("fused_adam" in name for name in operations(nets[1], first))
    for expected, found in zip(learn(nets[1], first, 3), learn(nets[2], second, 3), strict=True):
        assert torch.allclose(expected, found, atol=1e-5)


def network() -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3))
    made.unused = nn.Parameter(torch.ones(2))
    return made


def batches(device: str) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(7)
    return [torch.rand(size, 1, 8, 8, generator=draw).to(device) for size in (4, 4, 3, 4, 4, 4)]


def trained(made: nn.Module, device: str) -> list[torch.Tensor]:
    """Weights and buffers after a few steps: one with another size of batch, one with two calls, one whose gradients add to
    those of the step before, one with a frozen layer, and a validation."""
    made = made.to(device).train()
    inferer, optimizer = AutocastInferer(device != "cpu"), torch.optim.Adam(made.parameters(), 0.01)
    torch.manual_seed(11)
    for number, batch in enumerate(batches(device)):
        if number != 3:
            optimizer.zero_grad()
        loss = inferer(batch, made).square().mean() + made[0].weight.abs().sum()
        if number == 1:
            loss = loss + inferer(batch.flip(-1), made).square().mean()
        loss.backward()
        optimizer.step()
        if number == 3:
            made[0].requires_grad_(False)
            made[1].eval()
            with torch.no_grad():
                inferer(batch, made)
    return [values.detach().cpu() for values in made.state_dict().values()]


@pytest.fixture
def replays(monkeypatch) -> list[torch.Size]:
    """Graphs on the CPU: like `torch.cuda.make_graphed_callables`, the stand-in first runs the network three times, its
    output and gradients lie in fixed memory, and it gets the shapes of what is replayed."""
    shapes = []

    def recorded(made, samples, allow_unused_input):
        weights = [weight for weight in made.parameters() if weight.requires_grad]
        for _ in range(3):
            output = made(*samples)
            torch.autograd.grad(output, weights, torch.ones_like(output), allow_unused=allow_unused_input)
        memory = [torch.empty_like(weight) for weight in weights]

        class Replayed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, image, *_):
                shapes.append(image.shape)
                with torch.enable_grad():
                    ctx.output = made(image)
                return output.data.copy_(ctx.output)

            @staticmethod
            def backward(ctx, gradient):
                found = torch.autograd.grad(ctx.output, weights, gradient, allow_unused=True)
                return None, *(
                    None if each is None else room.copy_(each).detach()
                    for each, room in zip(found, memory, strict=True)
                )

        return lambda image: Replayed.apply(image, *weights)

    monkeypatch.setattr(inferers, "KINDS", ("cpu",))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorded)
    return shapes


def test_a_recorded_network_trains_alike(replays):
    plain, own = network(), network()
    own.cuda_graphs = True
    expected = trained(plain, "cpu")
    assert not replays
    for one, other in zip(expected, trained(own, "cpu"), strict=True):
        assert torch.equal(one, other)
    assert replays == [torch.Size([4, 1, 8, 8])] * 4
    assert list(deepcopy(own).state_dict()) == list(plain.state_dict())


@pytest.mark.gpu
def test_a_recorded_network_trains_alike_on_a_gpu():
    plain, own = network(), place_network(network(), "cuda:0", channels_last=False, compiled="cuda_graphs")
    for one, other in zip(trained(plain, "cuda:0"), trained(own, "cuda:0"), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
def test_what_waits_for_the_gpu_runs_without_graphs():
    class Waits(nn.Dropout):
        def forward(self, image):
            return super().forward(image) * (1.0 if image.mean().item() < 9 else 2.0)

    plain, own = (nn.Sequential(*network().children(), Waits(0.1)) for _ in range(2))
    own.cuda_graphs = "auto"
    for one, other in zip(trained(plain, "cuda:0"), trained(own, "cuda:0"), strict=True):
        assert torch.equal(one, other)
    assert own.cuda_graphs is False


def test_what_cannot_be_recorded_is_refused(monkeypatch):
    with pytest.raises(InputError):
        place_network(network(), "cpu", compiled="cuda_graphs")
    own = network()
    own.cuda_graphs = True
    monkeypatch.setattr(inferers, "KINDS", ("cpu",))

    def fails(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    with pytest.raises(InputError):
        AutocastInferer()(torch.rand(1, 1, 8, 8), own)
    own.cuda_graphs = "auto"
    for one, other in zip(trained(network(), "cpu"), trained(own, "cpu"), strict=True):
        assert torch.equal(one, other)
    assert own.cuda_graphs is False


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


def test_the_inferer_computes_in_bfloat16_and_gives_float32():
    layer, image, kinds = nn.Conv2d(1, 4, 3), torch.rand(2, 1, 8, 8), []
    layer.register_forward_hook(lambda module, inputs, output: kinds.append(output.dtype))
    plain, mixed = (AutocastInferer(amp)(image, layer) for amp in (False, True))
    assert kinds == [torch.float32, torch.bfloat16] and mixed.dtype == torch.float32
    assert torch.allclose(plain, mixed, atol=0.03) and not torch.equal(plain, mixed)


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
