"""Disk space and memory of the cache of preprocessed slices, and the speed of filling and reading it."""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import psutil
import torch
from monai.data import CacheDataset
from monai.transforms import Compose
from planewise.data import SliceDataset
from timing import Bar, Options, interleaved

from bars.batch_path import orientation

#: A GPU does not affect these measurements.
DEVICES = ("cpu",)
#: Number of copies of each slice of the phantom exams. Batches take some megabytes, which the allocator may keep or release;
#: with many slices, these megabytes do not distort the memory of a slice.
COPIES = 24


def measure(options: Options) -> list[Bar]:
    """The bars of the cache; memory is measured in fresh processes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train = orientation(folder, options)
        items = train.dataset.items * (1 if options.quick else COPIES)
        made = {
            1: _rate_of_making(train, items, folder / "by one", 0),
            2: _rate_of_making(train, items, train.cache_dir, 2),
        }
        shutil.rmtree(folder / "by one")
        dataset = _dataset(train, items)
        files = [folder.rglob("*") for folder in train.cache_dir.iterdir()]
        sizes = [sum(path.stat().st_size for path in paths if path.is_file()) for paths in files]
        on_disk = max(sizes) / (len(items) * train.size**2 * 2)
        read = interleaved({"all": lambda: _read_all(dataset, train)}, Options(repetitions=5), warmup=0)["all"]
        ours, theirs = (_alone(call, train, items) for call in (_resident_ours, _resident_monai))
        growth, resident = _alone(_growth, train, items)
    return [
        Bar("files / 2 bytes per pixel", on_disk, limit=1.02, note=f"{len(items)} slices of {train.size}^2"),
        Bar(
            "resident memory per slice / MONAI's CacheDataset",
            ours / theirs,
            limit=0.45,
            note=f"ours {ours / 1e3:.0f} kB, theirs {theirs / 1e3:.0f} kB",
        ),
        Bar(
            "growth of resident memory over 500 batches",
            growth,
            limit=0.05,
            note=f"of {resident / 2**20:.0f} MiB, after every slice was read",
        ),
        Bar("preprocessing from DICOM in one process", made[1], unit="slices/s"),
        Bar("preprocessing from DICOM in two processes", made[2], unit="slices/s"),
        Bar("reading a finished cache, warm", len(dataset) / read.least, unit="slices/s"),
    ]


def _dataset(train: SimpleNamespace, items: list[dict[str, Any]], **options: Any) -> SliceDataset:
    options = {"cache_dir": train.cache_dir, "num_workers": 0, "progress": False} | options
    return SliceDataset(items, train.preprocessing, train.targets, **options)


def _rate_of_making(train: SimpleNamespace, items: list[dict[str, Any]], folder: Path, workers: int) -> float:
    """Slices per second from files to a finished cache, including the start of the processes."""
    started = time.perf_counter()
    _dataset(train, items, cache_dir=folder, num_workers=workers)
    return len(items) / (time.perf_counter() - started)


def _alone(call: Callable[..., Any], train: SimpleNamespace, items: list[dict[str, Any]]) -> Any:
    """The result of a function that runs in a fresh process."""
    shared = SimpleNamespace(**{key: value for key, value in vars(train).items() if key not in ("dataset", "rows")})
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, shared, items).result()


def _resident() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def _resident_ours(train: SimpleNamespace, items: list[dict[str, Any]]) -> float:
    """Growth of a process's memory in bytes per slice when it opens a finished cache and reads all of it."""
    torch.set_num_threads(1)
    first = _dataset(train, items[: train.batch_size])
    for _ in range(10):  # until everything that is loaded or allocated only once is in memory
        _read_all(first, train)
    before = _resident()
    dataset = _dataset(train, items)
    _read_all(dataset, train)
    return (_resident() - before) / len(dataset)


def _resident_monai(train: SimpleNamespace, items: list[dict[str, Any]]) -> float:
    """Growth of a process's memory in bytes per slice when MONAI caches the output of the same transforms."""
    torch.set_num_threads(1)
    transform = Compose([*train.preprocessing.transforms, *train.targets.transforms])
    first = CacheDataset(items[: train.batch_size], transform, num_workers=0, progress=False)
    before = _resident()
    dataset = CacheDataset(items, transform, num_workers=0, progress=False)
    return (_resident() - before) / (len(dataset) + 0 * len(first))


def _growth(train: SimpleNamespace, items: list[dict[str, Any]]) -> tuple[float, float]:
    """Relative growth of memory over 500 batches, and the memory before these batches, in bytes.

    Both are medians over 50 batches, because memory varies from batch to batch.
    """
    torch.set_num_threads(1)
    dataset = _dataset(train, items)
    _read_all(dataset, train)
    resident = []
    for _ in range(570):
        rows = torch.randint(len(items), (train.batch_size,)).tolist()
        batch = train.pretext(train.augmentation(dataset.__getitems__(rows)))
        resident.append(psutil.Process().memory_info().rss)
        del batch
    before, after = median(resident[20:70]), median(resident[-50:])
    return after / before - 1, before


def _read_all(dataset: SliceDataset, train: SimpleNamespace) -> None:
    for rows in torch.randperm(len(dataset)).split(train.batch_size):
        dataset.__getitems__(rows.tolist())
