"""Time to prepare a batch of volumes for the network, with our code and with MONAI's, which works item by item.

Both produce the same batch: volumes and masks of phantom heads, preprocessed once, each rotated, scaled and shifted by its
own random amount, with linear interpolation for images and nearest neighbours for masks. The size of the cache on the disk
is measured too.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor, list_data_collate
from monai.transforms import Compose, EnsureTyped, RandAffined, Resized
from planewise.augmentation import RandAffineBatchd, RandBrightnessBatchd, RandCropBatchd, RandFlipRotate90Batchd
from planewise.data import VolumeDataset, load_datalist
from planewise.exams import index_folder, write_datalist
from planewise.preprocessing import CropToForegroundd, LoadVolumed, ScaleToUnitd
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.head import HEADS
from timing import Bar, Options, interleaved, ratio

BATCH = 8
KEYS = ("image", "label")
ROTATE, SCALE, SHIFT = 15.0, (0.9, 1.1), 0.05


def measure(options: Options) -> list[Bar]:
    """The bars of batches of volumes, and of their cache."""
    side = 16 if options.quick else 64
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = _heads(Path(folder), side, options)
        affine = RandAffineBatchd(ROTATE, SCALE, SHIFT, spatial_dims=3)
        exact = Compose(
            [RandFlipRotate90Batchd(0.5, 0.5), RandBrightnessBatchd(0.5), RandCropBatchd((side * 3 // 4,) * 3)]
        )
        times = interleaved(
            {
                "affine": lambda: affine(train.batch()),
                "monai": _monai(train, side),
                "batch": train.batch,
                "exact": lambda: exact(train.batch()),
            },
            options,
        )
    size = f"batch {BATCH}, {side}^3, one channel and a mask"
    note = f"{size}; ours {times['affine'].least * 1e3:.1f} ms, theirs {times['monai'].least * 1e3:.1f} ms"
    return [
        Bar("ours / MONAI cached and RandAffined", *ratio(times, "affine", "monai"), limit=1 / 5, note=note),
        Bar(
            "our flips, rotations, brightness and crops / our affine",
            *ratio(times, "exact", "affine"),
            note=f"{times['exact'].least * 1e3:.1f} ms, including {times['batch'].least * 1e3:.1f} ms to take the batch",
        ),
        Bar("cache, bytes per voxel and channel", train.bytes_a_voxel, limit=2.04, unit="B", note=size),
    ]


def _heads(folder: Path, side: int, options: Options) -> SimpleNamespace:
    """Heads of one contrast, preprocessed, on the device."""
    list(write_exams(Recipe("brats", population=HEADS.with_values(side=min(side, 32))), folder / "heads", BATCH))
    indexed = index_folder(folder / "heads", anatomy="volume", channels="flair", split=(1, 0, 0))
    items = load_datalist(write_datalist(indexed.datalist, folder / "list.json"), "training")
    transform = Compose(
        [
            LoadVolumed(KEYS),
            ScaleToUnitd("image"),
            CropToForegroundd(KEYS),
            Resized(KEYS, (side,) * 3, mode=("trilinear", "nearest")),
        ]
    )
    dataset = VolumeDataset(
        items, transform, cache_dir=folder / "cache", device=options.device, num_workers=0, progress=False
    )
    stored = sum(path.stat().st_size for path in (folder / "cache").rglob("*.npy") if path.stem != "label")
    generator = torch.Generator().manual_seed(0)
    # every batch has other volumes, but both draw from the same generator
    rows = lambda: torch.randint(len(dataset), (BATCH,), generator=generator).tolist()  # noqa: E731
    return SimpleNamespace(
        items=items,
        transform=transform,
        dataset=dataset,
        device=torch.device(options.device),
        rows=rows,
        batch=lambda: dataset.__getitems__(rows()),
        bytes_a_voxel=stored / (len(dataset) * side**3),
    )


def _monai(train: SimpleNamespace, side: int) -> Callable[[], Any]:
    """MONAI's way: preprocessed items in memory, each transformed when it is drawn and then collated."""
    once = [*train.transform.transforms, _bare, EnsureTyped(KEYS, device=train.device)]
    moved = RandAffined(
        KEYS,
        prob=1,
        rotate_range=[float(np.deg2rad(ROTATE))] * 3,
        scale_range=[(low - 1, high - 1) for low, high in [SCALE] * 3],
        translate_range=[SHIFT * side] * 3,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
        device=train.device,
    )
    dataset = CacheDataset(train.items, Compose([*once, moved]), progress=False, num_workers=0)
    return lambda: list_data_collate([dataset[row] for row in train.rows()])


def _bare(data: dict[str, Any]) -> dict[str, Any]:
    """Image and mask, without the entries that a batch does not need."""
    return {key: MetaTensor(data[key].as_tensor().clone(), affine=data[key].affine) for key in KEYS}
