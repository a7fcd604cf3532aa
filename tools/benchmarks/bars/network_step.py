"""Time of a training step in each form in which a network can run, to find the fastest on this device."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from planewise.engines import AutocastInferer, allow_tf32, precision
from planewise.errors import InputError
from planewise.losses import MultitaskLoss
from planewise.networks import (
    PAPER_FEATURES,
    RESIDUAL_FEATURES,
    LocationHead,
    ResidualDecoder,
    ResidualEncoder,
    SliceNet,
    UNetDecoder,
    UNetEncoder,
    place_network,
)
from timing import Bar, Options, interleaved, ratio

#: Largest ratio of bfloat16's time to float32's, on a CPU with instructions for bfloat16.
LIMIT = 0.63


@dataclass(frozen=True)
class Size:
    """A multitask network and its batch."""

    name: str
    features: tuple[int, ...]
    stem_stride: int
    image_size: int
    batch_size: int


@dataclass(frozen=True)
class Form:
    """How a network runs; the defaults are those of PyTorch."""

    numbers: str = "float32"
    channels_last: bool = False
    compiled: bool = False
    tf32: bool = False

    def __str__(self) -> str:
        extras = {"TF32": self.tf32, "channels last": self.channels_last, "compiled": self.compiled}
        return ", ".join([self.numbers, *(name for name, on in extras.items() if on)])


PLAIN = Form()


def measure(options: Options) -> list[Bar]:
    """Time training steps (forward, loss, backward, Adam) of the demo's network and of the paper's network, all on the same
    batch."""
    on_gpu = torch.device(options.device).type == "cuda"
    # a step with the paper's 20 slices takes a minute on one core; a slice costs the same in a smaller batch
    sizes = [Size("demo", (16, 32, 64, 128), 2, 96, 16), Size("paper", PAPER_FEATURES, 1, 224, 20 if on_gpu else 2)]
    if options.quick:
        sizes = [replace(size, features=(4, 8), image_size=32, batch_size=2) for size in sizes]
    bars = []
    for size in sizes:
        bars += _of_size(size, _fewer_if_slow(size.name, options))
    bars += _of_volumes(options)
    return bars


def _fewer_if_slow(size: str, options: Options) -> Options:
    """The options with a quarter of the repetitions if a step takes seconds, as at the paper's size on a CPU."""
    slow = size == "paper" and torch.device(options.device).type != "cuda"
    return options.fewer(4) if slow else options


class Step:
    """A new network; each call is a training step on the same random batch."""

    def __init__(self, form: Form, size: Size, device: torch.device) -> None:
        torch.manual_seed(0)
        network = SliceNet(
            UNetEncoder(size.features, stem_stride=size.stem_stride),
            UNetDecoder(size.features, stem_stride=size.stem_stride),
            num_maps=2,
            location=LocationHead(size.features[-1]),
        )
        self.form = form
        self.network = place_network(network, device, form.channels_last, form.compiled).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        self.loss = MultitaskLoss()
        self.inferer = AutocastInferer(form.numbers)
        self.scaler = torch.amp.GradScaler(device.type, enabled=form.numbers == "float16")
        grid = (size.image_size, size.image_size)
        self.image = torch.randn(size.batch_size, 1, *grid, device=device)
        self.target = {
            "heatmaps": torch.rand(size.batch_size, 2, *grid, device=device),
            "location": torch.rand(size.batch_size, device=device),
        }

    def __call__(self) -> None:
        allow_tf32(self.form.tf32)
        self.optimizer.zero_grad()
        # the engine handles float16, not the inferer
        with torch.autocast(self.image.device.type, torch.float16, enabled=self.form.numbers == "float16"):
            loss = self.loss(self.inferer(self.image, self.network), self.target)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def default_form(device: torch.device) -> Form:
    """The form in which bundles run by default."""
    return Form(precision("auto", device), channels_last=True, tf32=device.type == "cuda")


def _of_size(size: Size, options: Options) -> list[Bar]:
    device = torch.device(options.device)
    chosen = default_form(device)
    numbers = ("float32", "bfloat16", "float16") if device.type == "cuda" else ("float32", "bfloat16")
    forms = [Form(each, last, tf32=chosen.tf32) for each in numbers for last in (False, True)]
    steps = {str(form): Step(form, size, device) for form in dict.fromkeys([PLAIN, *forms])}
    times = interleaved(steps, options, warmup=1)
    plain = times.pop(str(PLAIN))
    note = f"batch {size.batch_size}, {size.image_size} x {size.image_size}"
    bars = [Bar(f"{size.name}: {PLAIN}", 1e3 * plain.least, 1e3 * plain.median, unit="ms", note=note)]
    for name, each in times.items():
        native = chosen.numbers == "bfloat16" and device.type == "cpu"
        value = each.least / plain.least, each.median / plain.median
        bars.append(
            Bar(f"{size.name}: {name} / float32", *value, limit=LIMIT if native and name == str(chosen) else None)
        )
    bars.append(_compiled(chosen, size, device, options))
    return bars


def _of_volumes(options: Options) -> list[Bar]:
    """Compare a 3D segmentation of four channels (Taleb 2020) with channels last and with PyTorch's default layout."""
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    # the sizes of the brain tumour demo and of the paper; a step at the paper's 128^3 takes 90 seconds on one core
    sizes = {"demo": ((8, 16, 32, 64), 32, 4), "paper": (RESIDUAL_FEATURES, 128 if on_gpu else 64, 2 if on_gpu else 1)}
    if options.quick:
        sizes = dict.fromkeys(sizes, ((4, 8), 8, 2))
    bars = []
    for name, (features, side, batch_size) in sizes.items():
        image = torch.randn(batch_size, 4, side, side, side, device=device)
        steps = {last: VolumeStep(features, image, last) for last in (True, False)}
        times = interleaved({"last": steps[True], "first": steps[False]}, _fewer_if_slow(name, options), warmup=1)
        note = f"batch {batch_size}, {side}^3; channels first {1e3 * times['first'].least:.0f} ms"
        limit = 0.85 if name == "demo" and not on_gpu and not options.quick else None
        bars.append(
            Bar(f"volumes, {name}: channels last / first", *ratio(times, "last", "first"), limit=limit, note=note)
        )
    return bars


class VolumeStep:
    """A new network of volumes; each call is a training step on the same batch."""

    def __init__(self, features: tuple[int, ...], image: torch.Tensor, channels_last: bool) -> None:
        torch.manual_seed(0)
        encoder = ResidualEncoder(features, in_channels=image.shape[1])
        network = SliceNet(encoder, ResidualDecoder(features), num_maps=4, spatial_dims=3)
        self.image = image
        self.network = place_network(network, image.device, channels_last).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def __call__(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.network(self.image).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _compiled(form: Form, size: Size, device: torch.device, options: Options) -> Bar:
    name = f"{size.name}: {form}, compiled / not"
    torch.compiler.reset()
    started = time.perf_counter()
    try:
        compiled = Step(replace(form, compiled=True), size, device)
    except InputError as error:
        return Bar(name, None, note=str(error))
    compiled()
    note = f"first step {time.perf_counter() - started:.0f} s"
    times = interleaved({"compiled": compiled, "not": Step(form, size, device)}, options)
    return Bar(name, *ratio(times, "compiled", "not"), note=note)
