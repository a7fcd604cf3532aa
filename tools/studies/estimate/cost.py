"""Estimate the time of a study's trainings, for each job and for all jobs on several GPUs."""

from __future__ import annotations

import heapq
import logging
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from planewise.data.datalist import select_subjects
from planewise.errors import InputError
from planewise.exams.anatomies import ANATOMIES, VOLUME
from planewise.exams.cases import BRATS

from tools.benchmarks.phantom_data import phantom_datalist
from tools.benchmarks.training_cost import Section, Work, gflop_per_slice, settings, work
from tools.studies.estimate.plan import Job
from tools.studies.time_steps import seconds_per_slice


@dataclass
class Rates:
    """The speed of a device.

    Attributes:
        tflops: 10^12 operations per second, for bundles that were not timed.
        step: seconds of a training step in one process, by `Job.trained`.
        slice: seconds of a training step per slice, by `Job.trained`.
        start: seconds that a job takes before its first step and after its last step, together.
    """

    tflops: float = 10.0
    step: dict[str, float] = field(default_factory=dict)
    slice: dict[str, float] = field(default_factory=dict)
    start: float = 15.0


@dataclass(frozen=True)
class Cost:
    """The cost of a job.

    Attributes:
        job: the job.
        source: source of the times: ``"timed"``, ``"given"`` or ``"counted"``.
        work: work of the job's training.
        slice: seconds of a training step per slice.
        training: GPU seconds of the training steps.
        watching: GPU seconds of validation and evaluation.
        seconds: GPU seconds in total, including start and end.
    """

    job: Job
    source: str
    work: Work
    slice: float
    training: float
    watching: float
    seconds: float


@dataclass(frozen=True)
class Phantoms:
    """Phantoms for timing steps: their layout, and further options of ``planewise phantom`` and of ``planewise index``."""

    layout: str
    written: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()


#: Phantoms of whole volumes, by the values of their masks.
_MASKS = {
    ("1", "2"): Phantoms("msd"),
    ("1", "2", "4"): Phantoms("brats"),
    ("1", "2", "3"): Phantoms("brats", ("--set", "tumour=0", "--set", "tissues=1")),
}
#: Channels of these phantoms, by their number.
_CHANNELS = {1: "t1", 2: "t1,flair", 3: "t1,t2,flair", 4: ",".join(BRATS)}


def phantoms_of(job: Job, anatomy: str, config: Mapping[str, Any]) -> Phantoms:
    """The phantoms that a job can learn from.

    Raises:
        InputError: no phantom volumes have this number of channels and these values of masks.
    """
    if anatomy != VOLUME.name:
        layouts = ANATOMIES[anatomy].phantoms
        return Phantoms(layouts.unlabelled if job.kind == "pretrain" else layouts.labelled)
    channels = int(config["in_channels"])
    # a pretext learns without masks, so it may use the phantoms with masks of tissues
    values = tuple(sorted(config.get("structures") or ("1", "2", "3")))
    found = _MASKS.get(values)
    if found is None or channels not in ((1,) if found.layout == "msd" else _CHANNELS):
        raise InputError(
            f"{job.trained} learns from volumes of {channels} channels and masks of {', '.join(values)}, which no phantom "
            "has; measure its steps elsewhere and give --seconds-per-step, or leave out --measure"
        )
    return found if found.layout == "msd" else replace(found, indexed=("--channels", _CHANNELS[channels]))


def cost(job: Job, data: Mapping[str, Mapping[str, Any]], rates: Rates) -> Cost:
    """Estimate the cost of a job.

    Args:
        job: job of the study.
        data: output of `sections` for ``"unlabelled"`` and ``"labelled"``.
        rates: speed of the device.
    """
    own = data["unlabelled" if job.kind == "pretrain" else "labelled"]
    arguments, trained = (job.bundle, job.files, job.settings), job.trained
    run = work(_config(*arguments), _drawn(job, own), own["validation"], job.processes)
    forward, both = _gflop(*arguments)
    if trained in rates.step:
        source, each = "given", rates.step[trained] / run.step_slices * job.processes
    elif trained in rates.slice:
        source, each = "timed", rates.slice[trained]
    else:
        source, each = "counted", both / rates.tflops / 1e3
    training = run.steps * run.step_slices * each
    # one process evaluates while the GPUs of the other processes wait
    watching = (run.passes * run.validated + own["test"].slices * job.processes) * each * forward / both
    return Cost(job, source, run, each, training, watching, rates.start * job.processes + training + watching)


def timed(jobs: Sequence[Job], anatomy: str, device: str, steps: int | None = None) -> dict[str, float]:
    """Time the training steps of each `Job.trained`: seconds per slice."""
    steps, warmup = (steps or 2, 1) if device == "cpu" else (steps or 20, 5)
    found: dict[str, float] = {}
    datalists: dict[Phantoms, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for job in {job.trained: job for job in jobs}.values():
            # an uncached config, because timing changes it
            config = _config.__wrapped__(job.bundle, job.files, job.settings)
            learned = phantoms_of(job, anatomy, config)
            if learned not in datalists:
                home = Path(tempfile.mkdtemp(dir=folder))
                options = {"written": learned.written, "indexed": learned.indexed}
                datalists[learned] = phantom_datalist(home, anatomy, learned.layout, **options)
            print(f"timing {job.trained} on {device} ...", file=sys.stderr, flush=True)
            # warnings about phantoms that are left out do not matter to anyone
            logging.disable(logging.WARNING)
            try:
                found[job.trained] = seconds_per_slice(config, datalists[learned], device, steps, warmup)
            finally:
                logging.disable(logging.NOTSET)
    return found


def wall_seconds(costs: Sequence[Cost], gpus: int) -> tuple[float, float]:
    """Time from the start of a study to the end of its last training on this number of GPUs, and the time of its longest
    chain of jobs, both in seconds.

    A job that runs on several GPUs is assumed to be proportionally faster. Every job starts as soon as it can; pretexts have
    priority, then longer jobs.

    Raises:
        ValueError: a job needs more GPUs than there are.
    """
    if (most := max(entry.job.processes for entry in costs)) > gpus:
        raise ValueError(f"a job runs on {most} GPUs, but there are {gpus}; give more GPUs or fewer `processes`")
    length = {entry.job.name: entry.seconds / entry.job.processes for entry in costs}
    order = sorted(costs, key=lambda entry: (entry.job.kind != "pretrain", -length[entry.job.name]))
    ended: set[str] = set()
    running: list[tuple[float, str, int]] = []
    now, free, ends = 0.0, gpus, {}
    while order or running:
        for entry in list(order):
            job = entry.job
            if job.processes <= free and (job.after in ended or job.after not in length):
                free -= job.processes
                heapq.heappush(running, (now + length[job.name], job.name, job.processes))
                order.remove(entry)
        now, name, taken = heapq.heappop(running)
        free += taken
        ended.add(name)
        ends[name] = now
    chain = max(length[entry.job.name] + length.get(entry.job.after, 0.0) for entry in costs)
    return max(ends.values()), chain


def _drawn(job: Job, data: Mapping[str, Any]) -> Section:
    """The part of the training section that a job uses."""
    section = data["training"]
    if job.exams is None:
        return section
    if data["items"] is not None:
        tasks = _config(job.bundle, job.files, job.settings).get("tasks") or ()
        items = select_subjects(data["items"], job.exams, job.seed, tasks)
        return Section(job.exams, len(items))
    if job.exams > section.exams:
        raise InputError(f"{job.name} wants {job.exams} labelled exams, but only {section.exams} are expected")
    return Section(job.exams, math.ceil(section.slices * job.exams / section.exams))


@lru_cache
def _config(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> Any:
    return settings(bundle, files, {name: yaml.safe_load(value) for name, value in overrides})


@lru_cache
def _gflop(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> tuple[float, float]:
    return gflop_per_slice(_config(bundle, files, overrides))
