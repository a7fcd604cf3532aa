"""Measure the constants for tools/docs/scaling.md on this machine; `scaling.py --measure` calls this module.

The constants are measured on phantom slices at the paper's size, and on synthetic datalists and caches with given numbers of
items. Times are CPU times, so that other programs do not affect them; only reading from the disk uses wall-clock time.
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from machine import commit, machine, versions
from monai.data import MetaTensor
from phantom_data import phantom_datalist
from planewise.data import ExamSampler, SliceCache, SliceDataset, load_datalist
from planewise.data.fingerprint import fingerprint
from planewise.exams import index_folder
from planewise.exams.anatomies import ANATOMIES
from training_cost import gflop_per_slice, settings

#: Numbers of items of the synthetic datalists and of the synthetic caches, each item of which has a file.
LISTED, CACHED = (100_000, 1_000_000), (10_000, 100_000)
#: Number of phantom exams of each anatomy to preprocess.
EXAMS = 4
#: Number of slices in the array that is read, and their side in pixels.
READ, SIZE = 10_000, 224
#: The bundle whose slices and steps are measured, by anatomy.
BUNDLES = {"cardiac": "pretext_cardiac_multitask", "knee": "pretext_knee_multitask"}


def measure() -> dict:
    """Measure all constants, each in a separate process so that memory is measured separately."""
    found: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for anatomy in BUNDLES:
            found[anatomy] = alone(preprocessing, folder, anatomy, EXAMS)
        found["reading"] = alone(reading, folder, READ, SIZE)
        for count in {*LISTED, *CACHED}:
            # in a separate process, so that its memory does not count
            alone(synthetic, folder, count)
        found["datalists"] = [alone(datalist, folder, count) for count in LISTED]
        found["caches"] = []
        for count in CACHED:
            alone(build, folder, count)
            found["caches"].append(alone(cache, folder, count))
    return found


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process and return its result."""
    print(f"{function.__name__} {' '.join(map(str, arguments[1:]))} ...", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def preprocessing(folder: str, anatomy: str, exams: int) -> dict[str, float]:
    """Index and preprocess phantom exams at the paper's size on one core: files and slices per second, bytes per slice."""
    torch.set_num_threads(1)
    layout = ANATOMIES[anatomy].phantoms.unlabelled
    source = phantom_datalist(Path(folder), anatomy, layout, exams)
    os.environ["PLANEWISE_SALT_FILE"] = folder + "/salt"
    started = time.process_time()
    index_folder(Path(folder) / layout, anatomy=anatomy)
    indexed = time.process_time() - started
    files = sum(1 for _ in (Path(folder) / layout).rglob("*.dcm"))
    config = settings(BUNDLES[anatomy])
    items = load_datalist(source, "training")
    transform = config.get_parsed_content("train#preprocessing")
    # the first slice triggers imports
    transform(dict(items[0]))
    started = time.process_time()
    made = SliceCache(items, transform, Path(folder) / "cache", num_workers=0, progress=False)
    seconds = time.process_time() - started
    stored = sum(path.stat().st_size for path in made.folder.glob("*.npy"))
    forward, both = gflop_per_slice(config)
    return {
        "slices": len(items),
        "headers_per_second_and_core": files / indexed,
        "slices_per_second_and_core": len(items) / seconds,
        "cache_bytes_per_slice": stored / len(items),
        "image_size": int(config["image_size"]),
        "datalist_bytes_per_slice": source.stat().st_size / len(items),
        "batch_size": int(config["batch_size"]),
        "gflop_forward": forward,
        "gflop_step": both,
    }


def reading(folder: str, count: int, size: int) -> dict[str, float]:
    """Read random batches of 20 from a memory-mapped cache: from the page cache, and after it was dropped."""
    torch.set_num_threads(1)
    items = [{"image": f"{number}", "exam": f"{number // 100}"} for number in range(count)]
    dataset = SliceDataset(items, MadeSlice(size), cache_dir=folder + "/read", num_workers=0, progress=False)
    (array,) = Path(folder, "read").glob("*/image.npy")
    batches = (
        torch.randperm(count, generator=torch.Generator().manual_seed(0))[: count // 20 * 20].view(-1, 20).tolist()
    )

    def rate(chosen: Sequence[list[int]], clock: Callable[[], float]) -> float:
        started = clock()
        for batch in chosen:
            dataset.__getitems__(batch)
        return 20 * len(chosen) / (clock() - started)

    rate(batches, time.process_time)
    warm = max(rate(batches, time.process_time) for _ in range(3))
    rates = []
    for part in (batches[: len(batches) // 2], batches[len(batches) // 2 :]):
        with open(array, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        # wall-clock time, which includes waiting for the disk
        rates.append(rate(part, time.perf_counter))
    return {
        "slices": count,
        "bytes_per_slice": 2 * size**2,
        "warm_slices_per_second": warm,
        "cold_slices_per_second": max(rates),
    }


def datalist(folder: str, count: int) -> dict[str, float]:
    """Measure a synthetic datalist: its size, the time to load it, the memory of its items, and an epoch's indices."""
    path = synthetic(folder, count)
    before = _resident()
    started = time.process_time()
    items = load_datalist(path, "training")
    load = time.process_time() - started
    memory = _resident() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    started = time.process_time()
    sampler = ExamSampler(SimpleNamespace(items=items), "all")
    prepare = time.process_time() - started
    before = _resident()
    started = time.process_time()
    drawn = sum(1 for _ in sampler)
    draw = time.process_time() - started
    assert drawn == count
    return {
        "items": count,
        "bytes": path.stat().st_size,
        "load_seconds": load,
        "memory_bytes": memory,
        "peak_bytes": peak,
        "sampler_seconds": prepare,
        "epoch_seconds": draw,
    }


def build(folder: str, count: int) -> None:
    """Build a complete cache for a synthetic datalist, whose image files exist but are empty."""
    path = synthetic(folder, count)
    items = load_datalist(path, "training")
    for item in items:
        Path(item["image"]).parent.mkdir(parents=True, exist_ok=True)
        Path(item["image"]).touch()
    SliceCache(items, MadeSlice(8), path.parent / "cache", num_workers=0, progress=False)


def cache(folder: str, count: int) -> dict[str, float]:
    """Measure a run's start on the cache of `build`: the time of each step, and the memory of all steps together."""
    torch.set_num_threads(1)
    path = synthetic(folder, count)
    targets = settings(BUNDLES["cardiac"]).get_parsed_content("train#targets")

    arguments = {"cache_dir": path.parent / "cache", "num_workers": 0, "progress": False}
    before = _resident()
    items = load_datalist(path, "training")
    times = []
    for step in (
        lambda: fingerprint(items, MadeSlice(8)),
        lambda: SliceDataset(items, MadeSlice(8), **arguments),
        lambda: SliceDataset(items, MadeSlice(8), targets, **arguments),
    ):
        seconds = []
        # twice, because imports at the first use do not belong to the cost of an item
        for _ in range(2):
            dataset = None
            started = time.process_time()
            dataset = step()
            seconds.append(time.process_time() - started)
        times.append(min(seconds))
    stamps, opened, whole = times
    return {
        "items": count,
        "fingerprint_seconds": stamps,
        "open_seconds": max(opened - stamps, 0.0),
        "targets_seconds": max(whole - opened, 0.0),
        "memory_bytes": _resident() - before,
        "kept": len(dataset),
    }


class MadeSlice:
    """A stand-in for preprocessing that returns a slice of zeros at no cost."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        image = MetaTensor(torch.zeros(1, self.size, self.size, 1), affine=torch.eye(4, dtype=torch.float64))
        return {**item, "image": image, "image_padding": torch.zeros(1)}


def synthetic(folder: str | Path, count: int) -> Path:
    """Write a datalist of this many slices in the form of `planewise index`, 300 per exam, all with different numbers.

    A datalist that exists is kept. Returns its path.
    """
    path = Path(folder) / f"synthetic{count}" / "exams.json"
    if path.exists():
        return path
    path.parent.mkdir()
    random = np.random.default_rng(0)
    with open(path, "w") as file:
        file.write('{"training": [')
        for start in range(0, count, 10_000):
            # orthogonal axes of a plane, which also serve as normals of the views that cut it
            axes = np.linalg.qr(random.normal(size=(min(10_000, count - start), 3, 3)))[0]
            points = random.normal(scale=100, size=(len(axes), 3, 3))
            for offset, (axis, point) in enumerate(zip(axes.round(12).tolist(), points.round(9).tolist(), strict=True)):
                number = start + offset
                item = {
                    "image": f"train/train/{number // 300}/study/sax_{number // 30 % 10}/{number}.dcm",
                    "affine": [[*(round(1.3 * value, 9) for value in axis[row]), point[0][row]] for row in range(3)],
                    "slice": number // 30 % 10,
                    "phase": number % 30 / 30,
                    "location": number // 30 % 10 / 9,
                    "exam": f"{number // 300:010x}",
                    "patient": f"{number // 300 + 7:010x}",
                    "stack": "sax",
                    "planes": {
                        view: {"origin": point[1 + which], "normal": [axis[row][which] for row in range(3)]}
                        for which, view in enumerate(("2ch", "4ch"))
                    },
                }
                item["affine"].append([0.0, 0.0, 0.0, 1.0])
                file.write((",\n" if number else "\n") + json.dumps(item))
        file.write('], "validation": [], "test": []}')
    return path


def _resident() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
