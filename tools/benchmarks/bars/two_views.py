"""Cost of methods that compare views in addition to their network: the time to make the views and to compare them.

The views follow ``pretext_simclr``'s own config, on random images. kornia makes its views with the same random changes:
affine, contrast, shading, noise, standardisation and blur. NT-Xent is compared with MONAI's `ContrastiveLoss`, which takes
two batches of views.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.losses import ContrastiveLoss as MonaiContrastiveLoss
from planewise.losses import NTXentLoss
from planewise.networks import EmbeddingNet, ProjectionHead, SimClrLearner, UNetEncoder, place_network
from timing import Bar, Options, interleaved, ratio

GROUP = "two views"
CONFIG = Path(__file__).resolve().parents[3] / "bundles" / "pretext_simclr" / "configs" / "train.yaml"
#: Largest share of a step on a CPU, as the issue about the comparators requires.
SHARE_OF_STEP = 0.05
#: Given a number of pairs and a device, returns a call that computes a loss and its gradient on the device.
Maker = Callable[[int, torch.device], Callable[[], Any]]


def measure(options: Options) -> list[Bar]:
    """The bars of making two views, alone and compared with a step of the network, and of NT-Xent."""
    torch.set_num_threads(options.threads)
    config = ConfigParser(ConfigParser.load_config_file(str(CONFIG)))
    size, count = (48, 4) if options.quick else (config["image_size"], 16)
    views = config.get_parsed_content("train#pretext")
    device = torch.device(options.device)
    batch = {"image": torch.randn(count, 1, size, size, device=device)}
    batch["image_padding"] = batch["image"].amin(dim=(2, 3))
    candidates: dict[str, Callable[[], Any]] = {"ours": lambda: views(dict(batch))}
    missing = None
    try:
        candidates["kornia"] = _kornia(config, batch["image"])
    except ImportError as error:
        missing = f"not measured: {error}"
    with torch.no_grad():
        times = interleaved(candidates, options)
    few = options.fewer(4)
    features = (4, 8) if options.quick else tuple(config["features"])
    # a step of the paper's network takes seconds per slice on one core; the cost per slice does not depend on the batch
    two = {name: value[:2] for name, value in batch.items()}
    step = interleaved({"ours": lambda: views(dict(two)), "step": _step(features, two["image"], device)}, few, warmup=1)
    note = f"batch {count}, {size} x {size}"
    ours = times["ours"]
    bars = [
        Bar(GROUP, "our two views", ours.least * 1e3, ours.median * 1e3, unit="ms", note=note),
        Bar(GROUP, "ours / kornia, batched", *ratio(times, "ours", "kornia"), limit=1.0, note=note)
        if "kornia" in times
        else Bar(GROUP, "ours / kornia, batched", None, limit=1.0, note=missing),
        Bar(
            GROUP,
            "two views / the network's step on them",
            *ratio(step, "ours", "step"),
            limit=SHARE_OF_STEP if device.type == "cpu" and not options.quick else None,
            note=f"U-Net encoder {features}, step {step['step'].least * 1e3:.0f} ms",
        ),
    ]
    return [*bars, *_nt_xent(options)]


def _kornia(config: ConfigParser, image: torch.Tensor) -> Callable[[], Any]:
    from kornia import augmentation as k

    changes = torch.nn.Sequential(
        k.RandomAffine(config["rotate"], [config["shift"]] * 2, tuple(config["zoom"]), p=1.0, align_corners=True),
        k.RandomHorizontalFlip(p=config["flip_prob"]),
        k.RandomGamma((0.6, 1.6), p=1.0),
        # kornia's shading changes linearly from one edge to the other; ours is a smooth field
        k.RandomLinearIllumination(p=1.0),
        k.RandomGaussianNoise(std=config["noise"] / 2, p=1.0),
        _Standardize(),
        k.RandomGaussianBlur((15, 15), tuple(config["blur_sigma"]), p=config["blur_prob"]),
    )
    # RandomGamma expects images from 0 to 1
    low, high = image.amin(), image.amax()
    scaled = (image - low) / (high - low)
    return lambda: torch.cat([changes(scaled), changes(scaled)], dim=1)


class _Standardize(torch.nn.Module):
    """Scale each image to mean 0 and standard deviation 1, as our networks expect; kornia's version uses fixed numbers."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
        return (image - mean) / deviation


def _step(features: tuple[int, ...], image: torch.Tensor, device: torch.device) -> Callable[[], Any]:
    network = place_network(EmbeddingNet(UNetEncoder(features)), device)
    learner = SimClrLearner(network, ProjectionHead(features[-1], 64, 32)).to(device).train()
    optimizer, loss = torch.optim.Adam(learner.parameters()), NTXentLoss()
    views = image.expand(-1, 2, -1, -1)

    def step() -> None:
        optimizer.zero_grad()
        loss(learner(views), {}).backward()
        optimizer.step()

    return step


def _nt_xent(options: Options) -> list[Bar]:
    """Compare the losses on views of 128 numbers, forward and backward, by time and by the peak memory that they add.

    MONAI's loss compares all pairs number by number, so 4096 views take minutes and more memory than most machines have.
    Both losses are therefore measured with 1024 views, and only ours with 4096.
    """
    pairs, many = (64, 128) if options.quick else (512, 2048)
    few = replace(options, repetitions=2)
    device = torch.device(options.device)
    times = interleaved({"ours": _ours(pairs, device), "MONAI": _monai(pairs, device)}, few, warmup=1)
    note = f"{2 * pairs} x 128; MONAI's would need {_needed(many) / 2**30:.0f} GiB for {2 * many}"
    name = "NT-Xent / MONAI's ContrastiveLoss"
    peaks = {of: _peak_alone(make, pairs, device) for of, make in {"ours": _ours, "MONAI": _monai}.items()}
    memory = f"{2 * pairs} x 128; ours {peaks['ours']:.0f} MiB, theirs {peaks['MONAI']:.0f} MiB"
    limit = None if options.quick else 1.0
    alone = interleaved({"ours": _ours(many, device)}, options, warmup=1)["ours"]
    note_alone = f"{2 * many} x 128, {_peak_alone(_ours, many, device):.0f} MiB"
    return [
        Bar(GROUP, name, *ratio(times, "ours", "MONAI"), limit=1.0, note=note),
        Bar(GROUP, f"{name}, memory", peaks["ours"] / peaks["MONAI"], limit=limit, note=memory),
        Bar(GROUP, "NT-Xent, ours", alone.least * 1e3, alone.median * 1e3, unit="ms", note=note_alone),
    ]


def _needed(pairs: int) -> float:
    """Approximate memory of MONAI's loss, bytes: four float32 arrays with 128 numbers for each pair of views."""
    return 4 * (2 * pairs) ** 2 * 128 * 4


def _peak_alone(make: Maker, pairs: int, device: torch.device) -> float:
    """Peak memory that two calls add, MiB, on the device, or in a fresh process for a CPU."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call = make(pairs, device)
        call()
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_peak, make, pairs).result()


def _ours(pairs: int, device: torch.device) -> Callable[[], Any]:
    projected, loss = torch.randn(pairs, 2, 128, device=device, requires_grad=True), NTXentLoss()
    return lambda: loss(projected, {}).backward()


def _monai(pairs: int, device: torch.device) -> Callable[[], Any]:
    first, second = (torch.randn(pairs, 128, device=device, requires_grad=True) for _ in range(2))
    loss = MonaiContrastiveLoss(temperature=0.1)
    return lambda: loss(first, second).backward()


def _peak(make: Maker, pairs: int) -> float:
    """Peak memory that two calls add to this process, MiB."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    make(2, cpu)()
    before = _highest()
    call = make(pairs, cpu)
    call()
    call()
    return _highest() - before


def _highest() -> float:
    """Peak memory of this process, MiB. `getrusage` would include its memory before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
