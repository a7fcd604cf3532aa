"""Time to prepare a batch for the network: with our code and with MONAI's transforms.

Both produce the same batch: slices of the orientation bundle's own data set (phantom exams as DICOM, preprocessed once at
the paper's 224 x 224), each rotated and scaled by its own random amount, and the heatmaps of two lines on each. With MONAI,
the same clamped heatmap is computed from the affine that it reports after the augmentation.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor, list_data_collate
from monai.networks.nets import UNet
from monai.transforms import Compose, EnsureTyped, Lambda, MapTransform, RandAffined
from planewise.data import as_batch
from planewise.engines import PrepareSliceBatch
from planewise.exams import index_folder, write_datalist
from planewise.geometry import intersection_lines, line_heatmaps
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Bar, Options, interleaved, ratio
from torch import Tensor
from torch.nn.functional import mse_loss

from bars.trainer import parsed_config


def measure(options: Options) -> list[Bar]:
    """The bars of the batch path."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = orientation(Path(folder), options)
        affine = RandAffined(
            "image",
            prob=1,
            rotate_range=train.rotate,
            scale_range=[(low - 1, high - 1) for low, high in [train.zoom] * 2],
            mode="bilinear",
            padding_mode="border",
            device=train.device,
        )
        candidates = {"ours": _ours(train), "affine": _monai(train, affine)}
        times = interleaved(candidates, options)
        step = interleaved({"ours": candidates["ours"], "step": _unet_step(train)}, options.fewer(3, 3))

    ours, on_cpu = times["ours"], train.device.type == "cpu"
    size = f"batch {train.batch_size}, {train.size} x {train.size}, two heatmaps"
    return [
        Bar("our batch", ours.least * 1e3, ours.median * 1e3, unit="ms", note=size),
        Bar(
            "ours / MONAI cached, RandAffined and heatmap",
            *ratio(times, "ours", "affine"),
            limit=1 / 7,
            note=f"ours {ours.least * 1e3:.2f} ms, theirs {times['affine'].least * 1e3:.2f} ms",
        ),
        Bar(
            "ours / training step of MONAI's UNet (16..256)",
            *ratio(step, "ours", "step"),
            # promised only for a CPU, because a GPU's step of so small a network takes almost no time
            limit=0.02 if on_cpu else None,
            note=f"step {step['step'].least * 1e3:.1f} ms",
        ),
    ]


def orientation(folder: Path, options: Options) -> SimpleNamespace:
    """The orientation bundle's own data set and augmentation, on phantom exams that this function writes to a folder."""
    population = UNLABELLED.with_values(phases=1 if options.quick else 2)
    list(write_exams(Recipe("dsbcc", 5, population), folder, 1 if options.quick else 2))
    write_datalist(index_folder(folder, split=(1, 0, 0)).datalist, folder / "datalist.json")
    config = parsed_config("pretext_cardiac_orientation", "train.yaml")
    changes: dict[str, Any] = {
        "datalist": str(folder / "datalist.json"),
        "cache_dir": str(folder / "cache"),
        "device": options.device,
        "progress": False,
        "num_workers": 0,
    }
    config.update(changes | ({"image_size": 64, "batch_size": 4} if options.quick else {}))
    dataset = config.get_parsed_content("train#dataset")
    batch_size = config["batch_size"]
    generator = torch.Generator().manual_seed(0)
    return SimpleNamespace(
        device=torch.device(options.device),
        dataset=dataset,
        preprocessing=config.get_parsed_content("train#preprocessing"),
        targets=config.get_parsed_content("train#targets"),
        cache_dir=folder / "cache",
        augmentation=config.get_parsed_content("train#augmentation"),
        pretext=config.get_parsed_content("train#pretext"),
        batch_size=batch_size,
        size=config["image_size"],
        sigma=config["sigma"],
        rotate=float(np.deg2rad(config["rotate"])),
        zoom=tuple(config["zoom"]),
        # every batch has other slices, but all candidates draw from the same generator
        rows=lambda: torch.randint(len(dataset), (batch_size,), generator=generator).tolist(),
    )


def _ours(train: SimpleNamespace) -> Callable[[], Any]:
    prepare = PrepareSliceBatch("heatmaps", train.augmentation, train.pretext)
    return lambda: prepare(as_batch(train.dataset.__getitems__(train.rows())), train.device, non_blocking=True)


def _heatmaps(affine: Tensor, planes: Tensor, shape: tuple[int, ...], sigma: float) -> Tensor:
    lines = intersection_lines(affine, planes[..., 0, :], planes[..., 1, :])
    return line_heatmaps(lines, (int(shape[-2]), int(shape[-1])), sigma)


def _monai(train: SimpleNamespace, *augmentation: MapTransform) -> Callable[[], Any]:
    """MONAI's way: preprocessed 2D items in memory, with random transforms applied to each item before collation."""

    def flat(item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """A 2D image with its affine, planes and padding, without the entries that a batch does not need."""
        image = MetaTensor(item["image"].as_tensor()[..., 0], affine=item["image"].affine)
        return {"image": image, "planes": item["planes"], "image_padding": item["image_padding"]}

    def heatmap(item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the heatmaps, computed from the image's current affine."""
        image = item["image"]
        # depending on the earlier transforms, MONAI leaves one of the two on the CPU
        affine, planes = (each.to(image.device) for each in (image.affine, item["planes"]))
        return {**item, "heatmaps": _heatmaps(affine, planes, image.shape[1:], train.sigma)}

    # MONAI caches up to the first random transform, or the first that is not one of its transforms
    on_device = EnsureTyped(("image", "planes"), device=train.device)
    once = [*train.preprocessing.transforms, train.targets, Lambda(flat), on_device]
    dataset = CacheDataset(train.dataset.items, Compose([*once, *augmentation, heatmap]), progress=False, num_workers=0)
    return lambda: list_data_collate([dataset[row] for row in train.rows()])


def _unet_step(train: SimpleNamespace) -> Callable[[], Any]:
    network = UNet(2, 1, 2, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=0).to(train.device)
    optimizer = torch.optim.Adam(network.parameters())
    image = torch.rand(train.batch_size, 1, train.size, train.size, device=train.device)
    target = torch.rand(train.batch_size, 2, train.size, train.size, device=train.device)

    @torch.enable_grad()
    def step() -> None:
        optimizer.zero_grad()
        mse_loss(network(image), target).backward()
        optimizer.step()

    return step
