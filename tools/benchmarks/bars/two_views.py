"""What methods that compare views cost beside their network: making the views, and comparing them.

The views are those of ``pretext_simclr``'s own config, on random images. kornia makes its own with the same random changes:
affine, contrast, noise and blur. NT-Xent is compared with MONAI's `ContrastiveLoss`, which takes two batches of views.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.losses import ContrastiveLoss as MonaiContrastiveLoss
from planewise.losses import ContrastiveLoss
from planewise.networks import EmbeddingNet, ProjectionHead, SimClrLearner, UNetEncoder, place_network
from timing import Bar, Options, interleaved, ratio

GROUP = "two views"
CONFIG = Path(__file__).resolve().parents[3] / "bundles" / "pretext_simclr" / "configs" / "train.yaml"
#: What the issue on the comparators asks for on a processor.
SHARE_OF_STEP = 0.05


def measure(options: Options) -> list[Bar]:
    """The bars of making two views, of NT-Xent, and of both beside a step of the network."""
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
    few = Options(options.device, options.threads, max(2, options.repetitions // 4), options.quick)
    features = (4, 8) if options.quick else tuple(config["features"])
    # a step of the paper's network takes seconds a slice on one core; both cost the same for each slice
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
        k.RandomAffine(config["rotate"], [config["shift"]] * 2, tuple(config["crop"]), p=1.0, align_corners=True),
        k.RandomHorizontalFlip(p=config["flip"]),
        k.RandomGamma((0.6, 1.6), p=1.0),
        k.RandomGaussianNoise(std=config["noise"] / 2, p=1.0),
        k.RandomGaussianBlur((15, 15), tuple(config["blur_sigma"]), p=config["blur"]),
    )
    # gamma is of images from 0 to 1
    low, high = image.amin(), image.amax()
    scaled = (image - low) / (high - low)
    return lambda: torch.cat([changes(scaled), changes(scaled)], dim=1)


def _step(features: tuple[int, ...], image: torch.Tensor, device: torch.device) -> Callable[[], Any]:
    network = place_network(EmbeddingNet(UNetEncoder(features)), device)
    learner = SimClrLearner(network, ProjectionHead(features[-1], 64, 32)).to(device).train()
    optimizer, loss = torch.optim.Adam(learner.parameters()), ContrastiveLoss()
    views = image.expand(-1, 2, -1, -1)

    def step() -> None:
        optimizer.zero_grad()
        loss(learner(views), {}).backward()
        optimizer.step()

    return step


def _nt_xent(options: Options) -> list[Bar]:
    """4096 views of 128 numbers, forward and backward: time, and what each adds to a process's memory at most."""
    pairs = 64 if options.quick else 2048
    times = interleaved({"ours": _ours(pairs), "MONAI": _monai(pairs)}, options, warmup=1)
    note = f"{2 * pairs} x 128"
    bars = [Bar(GROUP, "NT-Xent / MONAI's ContrastiveLoss", *ratio(times, "ours", "MONAI"), limit=1.0, note=note)]
    peaks = {}
    for name, make in {"ours": _ours, "MONAI": _monai}.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            peaks[name] = process.submit(_peak, make, pairs).result()
    value = peaks["ours"] / peaks["MONAI"]
    memory = f"{note}; ours {peaks['ours']:.0f} MiB, theirs {peaks['MONAI']:.0f} MiB"
    limit = None if options.quick else 1.0
    return [*bars, Bar(GROUP, "NT-Xent / MONAI's ContrastiveLoss, memory", value, limit=limit, note=memory)]


def _ours(pairs: int) -> Callable[[], Any]:
    projected, loss = torch.randn(pairs, 2, 128, requires_grad=True), ContrastiveLoss()
    return lambda: loss(projected, {}).backward()


def _monai(pairs: int) -> Callable[[], Any]:
    first, second = (torch.randn(pairs, 128, requires_grad=True) for _ in range(2))
    loss = MonaiContrastiveLoss(temperature=0.1)
    return lambda: loss(first, second).backward()


def _peak(make: Callable[[int], Callable[[], Any]], pairs: int) -> float:
    """MiB that two calls add at most to this process."""
    torch.set_num_threads(1)
    make(2)()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call = make(pairs)
    call()
    call()
    return max(1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
