"""Cost of methods that compare views: the time to make the views and to compare them.

The views follow ``pretext_simclr``'s own config, on random images. kornia makes its views with the same random changes:
affine, contrast, shading, noise, standardisation and blur. NT-Xent is compared with MONAI's `ContrastiveLoss`, which takes
two batches of views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.losses import ContrastiveLoss as MonaiContrastiveLoss
from planewise.losses import NTXentLoss
from timing import Bar, Options, interleaved, ratio

from bars.trainer import parsed_config


def measure(options: Options) -> list[Bar]:
    """The bars of making two views, and of NT-Xent."""
    config = parsed_config("pretext_simclr", "train.yaml")
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
    note = f"batch {count}, {size} x {size}"
    ours = times["ours"]
    bars = [
        Bar("our two views", ours.least * 1e3, ours.median * 1e3, unit="ms", note=note),
        Bar("ours / kornia, batched", *ratio(times, "ours", "kornia"), limit=1.0, note=note)
        if "kornia" in times
        else Bar("ours / kornia, batched", None, limit=1.0, note=missing),
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


def _nt_xent(options: Options) -> list[Bar]:
    """Compare the losses on views of 128 numbers, forward and backward.

    MONAI's loss compares all pairs number by number, so 4096 views take minutes and more memory than most machines have.
    Both losses are therefore measured with 1024 views, and only ours with 4096.
    """
    pairs, many = (64, 128) if options.quick else (512, 2048)
    few = replace(options, repetitions=2)
    device = torch.device(options.device)
    times = interleaved({"ours": _ours(pairs, device), "MONAI": _monai(pairs, device)}, few, warmup=1)
    # MONAI's loss needs about four float32 arrays with 128 numbers for each pair of views
    needed = 4 * (2 * many) ** 2 * 128 * 4
    note = f"{2 * pairs} x 128; for {2 * many} views, MONAI's loss would need {needed / 2**30:.0f} GiB"
    name = "NT-Xent / MONAI's ContrastiveLoss"
    alone = interleaved({"ours": _ours(many, device)}, options, warmup=1)["ours"]
    return [
        Bar(name, *ratio(times, "ours", "MONAI"), limit=1.0, note=note),
        Bar("NT-Xent, ours", alone.least * 1e3, alone.median * 1e3, unit="ms", note=f"{2 * many} x 128"),
    ]


def _ours(pairs: int, device: torch.device) -> Callable[[], Any]:
    projected, loss = torch.randn(pairs, 2, 128, device=device, requires_grad=True), NTXentLoss()
    return lambda: loss(projected, {}).backward()


def _monai(pairs: int, device: torch.device) -> Callable[[], Any]:
    first, second = (torch.randn(pairs, 128, device=device, requires_grad=True) for _ in range(2))
    loss = MonaiContrastiveLoss(temperature=0.1)
    return lambda: loss(first, second).backward()
