"""Time that a user waits for a whole training, from its command on, compared with the network's own computation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from planewise.engines import read_history
from planewise.exams import index_folder, write_datalist
from planewise.workshop.phantoms import LABELLED, UNLABELLED, Recipe, write_exams
from timing import Bar, Options

from bars.trainer import BUNDLES, TINY, parsed_config, seconds, take_step

#: Largest ratio of the time from the trainer's start to the last checkpoint to that of the bare steps and validations.
LIMITS = {"cpu": 1.25, "cuda": 1.5}
#: Largest amount of data that a run may write, bytes.
WRITTEN = 2e9
#: Program that runs `python -m monai.bundle` and finally writes the time, memory and disk use of the training to a file.
_TOLD = """
import json, runpy, sys, time
import torch
from monai.engines import SupervisedTrainer

def of_process(file, name):
    return next(int(line.split()[1]) for line in open(f"/proc/self/{file}") if line.startswith(name))

def timed(self):
    begun = time.time()
    run(self)
    told = {
        "begun": begun,
        "training": time.time() - begun,
        "peak": of_process("status", "VmHWM") * 1024,
        "peak_gpu": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
        "written": of_process("io", "write_bytes"),
    }
    open(file, "w").write(json.dumps(told))

file = sys.argv.pop(1)
run, SupervisedTrainer.run = SupervisedTrainer.run, timed
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=False)
"""


@dataclass(frozen=True)
class Run:
    """A training to measure."""

    name: str
    bundle: str
    configs: tuple[str, ...]
    labelled: bool  # whether the training uses exams with masks
    exams: tuple[int, int]  # for training and for validation
    settings: Mapping[str, Any]
    repetitions: int = 2  # whole runs; the fastest counts


def runs(options: Options) -> list[Run]:
    """Zhang 2024's two trainings at the paper's width, with fewer exams and epochs on a CPU."""
    gpu = torch.device(options.device).type == "cuda"
    fine_tuning, pretraining = "downstream_cardiac_sax_segmentation", "pretext_cardiac_multitask"
    if options.quick:
        demo, tiny = ("train.yaml", "demo.yaml"), {**TINY, "max_epochs": 2, "samples_per_epoch": 16}
        return [
            Run("fine-tuning", fine_tuning, demo, True, (1, 1), tiny),
            Run("pretraining", pretraining, demo, False, (2, 1), tiny),
        ]
    return [
        Run(
            "fine-tuning with 1 labelled exam, the paper's width, epochs of 2 steps",
            fine_tuning, ("train.yaml",), True, (1, 16 if gpu else 1),
            {"samples_per_epoch": 20, "max_epochs": 40 if gpu else 2},
            repetitions=1 if gpu else 2,
        ),
        Run(
            "pretraining, the paper's width, epochs of 31 steps",
            pretraining, ("train.yaml",), False, (20, 4) if gpu else (4, 1),
            {"samples_per_epoch": 31 * 20, "max_epochs": 25 if gpu else 1, "val_interval": 5 if gpu else 1},
            repetitions=1,
        ),
    ]  # fmt: skip


def measure(options: Options) -> Iterator[Bar]:
    """Measure start-up, training, memory and written data of whole runs in separate processes, with checkpoints and
    validations."""
    for run in (run for run in runs(options) if options.wants(run.name)):
        with tempfile.TemporaryDirectory(prefix="planewise-bars-") as folder:
            yield from _bars(run, Path(folder), options)


def _bars(run: Run, folder: Path, options: Options) -> list[Bar]:
    with patch.dict(os.environ, {"PLANEWISE_SALT_FILE": f"{folder}/salt"}):
        datalist = _datalist(run, folder)
        settings = {
            **run.settings,
            "datalist": str(datalist),
            "cache_dir": f"{folder}/cache",
            "device": options.device,
            "progress": False,
        }
        told, bare = [], []
        for repetition in range(run.repetitions):  # the two take turns, so that other work on the machine affects both
            told.append(_whole(run, settings, folder / str(repetition)))
            bare.append(_bare(run, settings | {"output_dir": str(folder / "bare")}, options, folder / "0/history.csv"))
    least = min(told, key=lambda each: each["training"])
    kind = torch.device(options.device).type
    return [
        Bar(
            f"{run.name}: run / its bare steps and validations",
            least["training"] / min(bare),
            limit=None if options.quick else LIMITS[kind],
            note=f"{least['training']:.1f} s, of which the network needs {min(bare):.1f} s",
        ),
        Bar(f"{run.name}: from the command to the first step", min(each["startup"] for each in told), unit="s"),
        Bar(f"{run.name}: written", least["written"] / 1e9, limit=WRITTEN / 1e9, unit="GB"),
        Bar(f"{run.name}: peak memory", least["peak"] / 2**30, unit="GiB"),
        *([Bar(f"{run.name}: peak memory of the GPU", least["peak_gpu"] / 2**30, unit="GiB")] * (kind == "cuda")),
    ]


def _datalist(run: Run, folder: Path) -> Path:
    """Write phantom exams: the first ``run.exams[0]`` are for training, the others for validation."""
    population = LABELLED if run.labelled else UNLABELLED
    population = population.at_size("demo" if "demo.yaml" in run.configs else "paper").with_values(phases=2)
    recipe = Recipe("acdc" if run.labelled else "dsbcc", 31, population)
    list(write_exams(recipe, folder / "exams", sum(run.exams), workers=os.cpu_count() or 1))
    content = index_folder(folder / "exams", split=(1, 0, 0)).datalist
    names = sorted({item["exam"] for item in content["training"]})[: run.exams[0]]
    content["validation"] = [item for item in content["training"] if item["exam"] not in names]
    content["training"] = [item for item in content["training"] if item["exam"] in names]
    write_datalist(content, folder / "exams/datalist.json")
    return folder / "exams/datalist.json"


def _whole(run: Run, settings: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Start a run as a user does, and return the measurements that the run makes of itself.

    Raises:
        RuntimeError: the run failed.
    """
    folder.mkdir()
    overrides = settings | {"output_dir": str(folder)}
    arguments = [text for key, value in overrides.items() for text in (f"--{key}", str(value))]
    files = str([f"configs/{name}" for name in run.configs])
    command = [sys.executable, "-c", _TOLD, str(folder / "told.json"), "run", "--config_file", files, *arguments]
    begun = time.time()
    done = subprocess.run(command, cwd=BUNDLES / run.bundle, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told = json.loads((folder / "told.json").read_text())
    return told | {"startup": told["begun"] - begun}


def _bare(run: Run, settings: Mapping[str, Any], options: Options, history: Path) -> float:
    """Time of the run's steps and validations alone, seconds: the same number of steps, all on one fixed batch, and the
    same number of validations, all on another fixed batch."""
    config = parsed_config(run.bundle, *run.configs)
    config.update({**settings, "bundle_root": str(BUNDLES / run.bundle), "resume": False})
    trainer, evaluator = (config.get_parsed_content(name) for name in ("train#trainer", "validate#evaluator"))
    device = torch.device(options.device)
    batch, other = (_first_batch(engine, device) for engine in (trainer, evaluator))
    rows = read_history(history)
    validated = sum(any(name.startswith("val_") for name in row) for row in rows)
    trainer.network.train()
    step = _seconds_each(lambda: take_step(trainer, *batch), device)
    trainer.network.eval()
    with torch.no_grad():
        forward = _seconds_each(lambda: evaluator.inferer(other[0], trainer.network), device)
    return len(rows) * len(trainer.data_loader) * step + validated * len(evaluator.data_loader) * forward


def _first_batch(engine: Any, device: torch.device) -> tuple[Any, Any]:
    rows = list(engine.data_loader.sampler)[: engine.data_loader.batch_size]
    return engine.prepare_batch(engine.data_loader.dataset.__getitems__(rows), device, False)


def _seconds_each(call: Any, device: torch.device, least: float = 2.0) -> float:
    """Mean time of a call over at least ``least`` seconds, after one call that is not counted, seconds."""
    call()
    begun, count = seconds(device), 0
    while count == 0 or time.perf_counter() - begun < least:
        call()
        count += 1
    return (seconds(device) - begun) / count
