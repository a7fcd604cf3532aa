"""Estimate the cost of a study before it runs.

    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --gpus 1,8
    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --measure
    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --pretexts orientation,location,simclr

The jobs come from Snakemake's dry run. The numbers of steps and slices come from the bundles' own schedules on the study's
datalists, or on the data that its config expects. The cost of a slice is counted (operations of the network, at --tflops) or
timed (here with --measure, elsewhere with --seconds-per-step).
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml
from planewise.data.datalist import expand_volumes, gather_stacks, load_datalist, rows_by_exam, select_subjects
from planewise.engines.quiet import keep_quiet
from planewise.errors import InputError
from planewise.exams.anatomies import VOLUME
from planewise.exams.cases import BRATS
from planewise.exams.split import SECTIONS
from planewise.exams.words import count_of, duration, unit_of_time
from planewise.reports.study.folder import datalist_of

from tools.benchmarks.page import with_block
from tools.benchmarks.phantom_data import phantom_datalist
from tools.benchmarks.training_cost import BUNDLES, Section, Work, gflop_per_slice, settings, work
from tools.studies.methods import found_overlay
from tools.studies.progress import PLACE, REFUSED
from tools.studies.time_steps import seconds_per_slice

STUDIES = Path(__file__).resolve().parent
#: Settings of a job that do not affect the cost of its network.
OF_THE_JOB = (
    "datalist", "seed", "subject_seed", "num_subjects", "output_dir", "pretrained", "imagenet", "device", "progress"
)  # fmt: skip
#: Mark before the table in tools/docs/studies.md.
BEGIN = (
    "<!-- written by python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --gpus 1,8,64 "
    "--page tools/docs/studies.md; do not edit -->"
)
#: Layouts of phantoms for pretraining and for fine-tuning, by anatomy.
_LAYOUTS = {"cardiac": ("dsbcc", "acdc"), "knee": ("fastmri", "mrnet"), "photograph": ("aptos", "aptos")}
#: Layout of phantom volumes, and further options of ``planewise phantom``, by the values of their masks.
_VOLUMES: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {
    ("1", "2"): ("msd", ()),
    ("1", "2", "4"): ("brats", ()),
    ("1", "2", "3"): ("brats", ("--set", "tumour=0", "--set", "tissues=1")),
}
#: Maps the number of channels of these phantoms to their names; phantoms of abdomens have one channel.
_CHANNELS = {1: "t1", 2: "t1,flair", 3: "t1,t2,flair", 4: ",".join(BRATS)}


@dataclass(frozen=True)
class Job:
    """A training of the study.

    Attributes:
        kind: ``"pretrain"`` or ``"finetune"``.
        name: the job's folder in the study.
        bundle: the bundle that the job runs.
        files: files of the bundle's configs.
        settings: overrides on the command line, without `OF_THE_JOB`.
        after: name of the job whose weights this job starts from; None if there is none.
        processes: number of processes, each on one GPU.
        exams: number of labelled exams that the job uses; None for all.
        seed: seed that selects these exams.
        overlays: those of ``files`` that only some jobs of the bundle have, such as a config with another network.
    """

    kind: str
    name: str
    bundle: str
    files: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    after: str | None
    processes: int
    exams: int | None
    seed: int
    overlays: tuple[str, ...] = ()

    @property
    def trained(self) -> str:
        """The bundle and its overlays, joined by ``+``; jobs with the same text have the same cost per slice."""
        return "+".join([self.bundle, *self.overlays])

    @property
    def config(self) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
        """The bundle, files and settings that define the job's configuration."""
        return self.bundle, self.files, self.settings


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


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_quiet()
    try:
        study = yaml.safe_load(options.config.read_text())
        jobs, counts = planned(options.config, options.pretexts)
        data = {kind: sections(study, kind, options.config) for kind in ("unlabelled", "labelled")}
        rates = Rates(options.tflops, dict(options.seconds_per_step), start=options.start)
        costs = [cost(job, data, rates) for job in jobs]
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        if options.measure:
            torch.set_num_threads(int(study.get("threads", 1)))  # as the study's jobs, see label_efficiency.smk
            rates.slice = timed(jobs, study["anatomy"], device, options.steps)
            costs = [cost(job, data, rates) for job in jobs]
    except InputError as error:
        sys.exit(f"planewise: {error}")
    lines = report(
        costs, counts, data, rates, device, options.gpus, options.config, str(study.get("device", "cpu")) == "cpu"
    )
    print("\n".join([f"{study['title']} ({options.config})", "", *lines]))
    if options.page:
        options.page.write_text(with_block(options.page.read_text(), BEGIN, page_block(lines)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.studies.estimate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", type=Path, help="config of the study, such as tools/studies/configs/table3_table4.yaml"
    )
    parser.add_argument("--pretexts", type=_names, help="pretexts to use instead of the config's")
    parser.add_argument(
        "--measure", action="store_true", help="time a few training steps of each bundle on this machine"
    )
    parser.add_argument("--steps", type=int, help="number of steps that --measure times (by default 20, or 2 on a CPU)")
    parser.add_argument(
        "--seconds-per-step",
        type=_seconds,
        action="append",
        default=[],
        metavar="BUNDLE=SECONDS",
        help="a step's time, measured elsewhere; may be repeated",
    )
    parser.add_argument(
        "--tflops", type=float, default=10.0, help="10^12 operations per second that the device sustains"
    )
    parser.add_argument("--start", type=float, default=15.0, help="seconds that a job takes to start and end")
    parser.add_argument(
        "--gpus",
        type=lambda text: [int(number) for number in _names(text)],
        default=[1, 8],
        help="numbers of GPUs to estimate the time for, such as 1,8,64",
    )
    parser.add_argument("--page", type=Path, help="write the table into tools/docs/studies.md too, between its marks")
    options = parser.parse_args(arguments)
    if not options.config.is_file():
        parser.error(f"there is no study {options.config}; see {STUDIES / 'configs'} for existing studies")
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _seconds(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if not (BUNDLES / name.partition("+")[0] / "configs" / "train.yaml").is_file():
        raise argparse.ArgumentTypeError(f"there is no bundle {name}")
    return name, float(seconds)


def planned(config: Path, pretexts: Sequence[str] | None = None) -> tuple[list[Job], dict[str, int]]:
    """The trainings that Snakemake would run for a whole study, and the number of jobs of each rule.

    Args:
        config: config of the study.
        pretexts: pretexts to use instead of the config's pretexts and methods.

    Methods whose files of weights do not exist yet are included.

    Raises:
        InputError: Snakemake refuses the study; the message quotes it.
    """
    study = yaml.safe_load(config.read_text())
    with tempfile.TemporaryDirectory() as folder:
        # stands for files that may not exist yet, whose content does not affect the jobs
        given = Path(folder) / "given.json"
        given.write_text("{}")
        changes: dict[str, Any] = {"out": folder + "/out"}
        if study.get("datalists"):
            changes["datalists"] = {kind: str(given) for kind, path in study["datalists"].items() if path}
        if "imagenet" in study:
            changes["imagenet"] = str(given)
        if study.get("overlay"):
            changes["overlay"] = found_overlay(study["overlay"])
        if pretexts:
            changes |= {"pretexts": list(pretexts), "methods": ["none", *pretexts]}
        elif isinstance(study.get("methods"), dict):
            changes["methods"] = {name: _findable(method, given) for name, method in study["methods"].items()}
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(STUDIES / "label_efficiency.smk")]
        command += ["--configfile", str(config.resolve()), "--cores", "1", "--dry-run", "--printshellcmds", "--nolock"]
        command += ["--config", *(f"{name}={json.dumps(value)}" for name, value in changes.items())]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    text = done.stdout + done.stderr
    if done.returncode:
        # without the places in label_efficiency.smk
        said = [line for line in text.strip().splitlines() if not (PLACE.match(line) or REFUSED.match(line))]
        raise InputError("Snakemake refuses the study: " + " ".join(said[-3:]))
    table = text.split("Job stats:")[1].split("\n\n")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if name != "total"}
    jobs = [
        _job(kind, command)
        for command, kind in re.findall(r"\((cd .*)\) > \S+/logs/(pretrain|finetune)_\w+\.log", text)
    ]
    common: dict[str, set[str]] = {}
    for job in jobs:
        common.setdefault(job.bundle, set(job.files)).intersection_update(job.files)
    return [
        replace(job, overlays=tuple(file for file in job.files if file not in common[job.bundle])) for job in jobs
    ], counts


def _findable(method: Mapping[str, Any] | None, given: Path) -> dict[str, Any]:
    """A copy of a method that is valid in another folder: the path of the overlay is absolute, and ``given`` replaces
    the path of the weights."""
    method = dict(method or {})
    if method.get("weights", "imagenet") != "imagenet":
        method["weights"] = str(given)
    if overlay := method.get("overlay"):
        named = overlay if isinstance(overlay, Mapping) else {"": overlay}
        found = {kind: found_overlay(file) for kind, file in named.items()}
        method["overlay"] = found if isinstance(overlay, Mapping) else found[""]
    return method


def _job(kind: str, text: str) -> Job:
    """Parse a job from its command line."""
    words = shlex.split(text)
    launcher, run = words[: words.index("monai.bundle")], words[words.index("monai.bundle") + 2 :]
    given = {name[2:]: value for name, value in zip(run[::2], run[1::2], strict=True)}
    processes = [word.partition("=")[2] for word in launcher if word.startswith("--nproc_per_node=")]
    exams = given.get("num_subjects")
    files = [name.removeprefix("configs/") for name in yaml.safe_load(given.pop("config_file"))]
    return Job(
        kind=kind,
        name=_name(given["output_dir"]),
        bundle=Path(words[1]).name,
        files=tuple(name for name in files if name != "multi_gpu_train.yaml"),
        settings=tuple((name, value) for name, value in given.items() if name not in OF_THE_JOB),
        after=_name(given.get("pretrained", "")) or None,
        processes=int(processes[0]) if processes else 1,
        exams=int(exams) if exams else None,
        seed=int(given.get("subject_seed", 0)),
    )


def _name(folder: str) -> str:
    """The path of a folder within the study; empty for weights from elsewhere."""
    return folder.partition("/out/")[2]


def sections(study: Mapping[str, Any], kind: str, config: Path) -> dict[str, Any]:
    """The amount of data of a study, from its datalist or, if it does not exist yet, from the config's ``expected``.

    Returns:
        ``training``, ``validation``, ``test`` (each a `Section`), ``items`` (the training items; None without a datalist),
        ``source`` (a description of the source), and ``unit`` (name of the counted units).

    Raises:
        InputError: the study has neither a datalist nor expected numbers.
    """
    kind, path = datalist_of(study, kind, Path(study["out"]))
    unit = {"volume": "volumes", "photograph": "photographs"}.get(study.get("anatomy", ""), "slices")
    if path.is_file():
        each = gather_stacks if study.get("anatomy") == "volume" else expand_volumes
        items = {name: each(load_datalist(path, name)) for name in SECTIONS}
        found = {name: Section(len(rows_by_exam(items[name])), len(items[name])) for name in SECTIONS}
        return {**found, "items": items["training"], "source": f"of {path.name}", "unit": unit}
    if kind not in (study.get("expected") or {}):
        raise InputError(
            f"there is no {path}, and {config} does not say what to expect; index the data, or add "
            f"`expected: {{{kind}: {{training: [EXAMS, SLICES], validation: [..], test: [..]}}}}`"
        )
    found = {name: Section(*study["expected"][kind].get(name, (0, 0))) for name in SECTIONS}
    return {**found, "items": None, "source": f"expected (there is no {path.name})", "unit": unit}


def cost(job: Job, data: Mapping[str, Mapping[str, Any]], rates: Rates) -> Cost:
    """Estimate the cost of a job.

    Args:
        job: job of the study.
        data: output of `sections` for ``"unlabelled"`` and ``"labelled"``.
        rates: speed of the device.
    """
    own = data["unlabelled" if job.kind == "pretrain" else "labelled"]
    run = work(_config(*job.config), _drawn(job, own), own["validation"], job.processes)
    forward, both = _gflop(*job.config)
    if job.trained in rates.step:
        source, each = "given", rates.step[job.trained] / run.step_slices * job.processes
    elif job.trained in rates.slice:
        source, each = "timed", rates.slice[job.trained]
    else:
        source, each = "counted", both / rates.tflops / 1e3
    training = run.steps * run.step_slices * each
    # one process evaluates while the GPUs of the other processes wait
    watching = (run.passes * run.validated + own["test"].slices * job.processes) * each * forward / both
    return Cost(job, source, run, each, training, watching, rates.start * job.processes + training + watching)


def _drawn(job: Job, data: Mapping[str, Any]) -> Section:
    """The part of the training section that a job uses."""
    section = data["training"]
    if job.exams is None:
        return section
    if data["items"] is not None:
        tasks = _config(*job.config).get("tasks") or ()
        items = select_subjects(data["items"], job.exams, job.seed, tasks)
        return Section(job.exams, len(items))
    if job.exams > section.exams:
        raise InputError(f"{job.name} needs {job.exams} labelled exams, but only {section.exams} are expected")
    return Section(job.exams, math.ceil(section.slices * job.exams / section.exams))


@lru_cache
def _config(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> Any:
    return settings(bundle, files, {name: yaml.safe_load(value) for name, value in overrides})


@lru_cache
def _gflop(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> tuple[float, float]:
    return gflop_per_slice(_config(bundle, files, overrides))


def timed(jobs: Sequence[Job], anatomy: str, device: str, steps: int | None = None) -> dict[str, float]:
    """Time the training steps of each `Job.trained`: seconds per slice."""
    steps, warmup = (steps or 2, 1) if device == "cpu" else (steps or 20, 5)
    found: dict[str, float] = {}
    datalists: dict[tuple, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for job in {job.trained: job for job in jobs}.values():
            # an uncached config, because timing changes it
            config = _config.__wrapped__(*job.config)
            phantoms = phantoms_of(job, anatomy, config)
            if phantoms not in datalists:
                layout, written, indexed = phantoms
                home = Path(tempfile.mkdtemp(dir=folder))
                datalists[phantoms] = phantom_datalist(home, anatomy, layout, written=written, indexed=indexed)
            print(f"timing {job.trained} on {device} ...", file=sys.stderr, flush=True)
            # warnings about phantoms that are left out do not matter to anyone
            logging.disable(logging.WARNING)
            try:
                found[job.trained] = seconds_per_slice(config, datalists[phantoms], device, steps, warmup)
            finally:
                logging.disable(logging.NOTSET)
    return found


def phantoms_of(job: Job, anatomy: str, config: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The phantoms that a job can learn from: their layout, and further options of ``planewise phantom`` and of ``planewise
    index``.

    Raises:
        InputError: no phantom volumes have this number of channels and these values of masks.
    """
    if anatomy != VOLUME.name:
        return _LAYOUTS[anatomy][0 if job.kind == "pretrain" else 1], (), ()
    channels = int(config["in_channels"])
    # a pretext learns without masks, so it may use the phantoms with masks of tissues
    values = tuple(sorted(config.get("structures") or ("1", "2", "3")))
    layout, written = _VOLUMES.get(values, ("", ()))
    if not layout or channels not in ((1,) if layout == "msd" else _CHANNELS):
        raise InputError(
            f"{job.trained} learns from volumes of {channels} channels and masks of {', '.join(values)}, which no phantom "
            "has; measure its steps elsewhere and give --seconds-per-step, or leave out --measure"
        )
    return layout, written, () if layout == "msd" else ("--channels", _CHANNELS[channels])


def seconds_at_least(costs: Sequence[Cost], gpus: int) -> float:
    """Least number of seconds that a study takes on this number of GPUs: the work divided by the number of GPUs, as if no
    GPU ever waited, or the longest pretraining with a fine-tuning that starts from it, whichever is longer.

    Raises:
        ValueError: a job needs more GPUs than there are.
    """
    if (most := max(entry.job.processes for entry in costs)) > gpus:
        raise ValueError(f"a job runs on {most} GPUs, but there are {gpus}; give more GPUs or fewer `processes`")
    # a job on several GPUs is assumed to be proportionally faster
    length = {entry.job.name: entry.seconds / entry.job.processes for entry in costs}
    chain = max(length[entry.job.name] + length.get(entry.job.after or "", 0.0) for entry in costs)
    return max(chain, sum(entry.seconds for entry in costs) / gpus)


def report(
    costs: Sequence[Cost],
    counts: Mapping[str, int],
    data: Mapping[str, Mapping[str, Any]],
    rates: Rates,
    device: str,
    gpus: Sequence[int],
    config: Path,
    runs_on_cpu: bool,
) -> list[str]:
    """The estimate as lines of text; ``runs_on_cpu`` is what the study's config says."""
    unit = "CPU" if rates.slice and device == "cpu" else "GPU"
    lines = ["jobs of Snakemake's dry run: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    for kind, found in data.items():
        sizes = "; ".join(
            f"{name} {count_of(found[name].exams, 'exam')}, {found[name].slices} {found['unit']}" for name in SECTIONS
        )
        lines.append(f"{kind} data, {found['source']}: {sizes}")
    rows: dict[tuple[str, int | None], list[Cost]] = {}
    for entry in sorted(costs, key=lambda one: (one.job.kind != "pretrain", one.job.exams or 0, one.job.trained)):
        rows.setdefault((entry.job.trained, entry.job.exams), []).append(entry)
    named = {
        trained.replace(".yaml", "") + (f", {exams} exam{'s' if exams > 1 else ''}" if exams else ""): entries
        for (trained, exams), entries in rows.items()
    }
    width = max(map(len, named)) + 2
    total = sum(entry.seconds for entry in costs)
    times, size = unit_of_time(total)
    lines += ["", f"{'':{width}}{'jobs':>5}{'steps':>9}{'s/step':>9}{'training':>10}{'scoring':>9}{times:>8}"]
    for name, entries in named.items():
        steps = sum(entry.work.steps for entry in entries)
        step = entries[0].slice * entries[0].work.step_slices
        parts = [sum(getattr(entry, part) for entry in entries) / size for part in ("training", "watching", "seconds")]
        lines.append(
            f"{name:{width}}{len(entries):>5}{steps:>9}{step:>9.3f}{parts[0]:>10.1f}{parts[1]:>9.1f}{parts[2]:>8.1f}"
        )
    steps = sum(entry.work.steps for entry in costs)
    lines += [f"{'all trainings':{width}}{len(costs):>5}{steps:>9}{'':28}{total / size:>8.1f} {unit} {times}", ""]
    where = f"this {'CPU' if device == 'cpu' else torch.cuda.get_device_name(device)}"
    if device == "cpu":
        where += f" ({count_of(torch.get_num_threads(), 'thread')})"
    meaning = {
        "timed": f"timed on {where}: a few training steps of the bundle's own trainer at the study's size, on phantoms; "
        "other programs that run at the same time make it too long",
        "given": "seconds per step from --seconds-per-step",
        "counted": f"calculated, not measured: the network's counted operations at {rates.tflops:g} TFLOP/s (--tflops)",
    }
    sources = Counter(entry.source for entry in costs)
    lines += [f"{count} of {len(costs)} {meaning[source]}" for source, count in sources.items()]
    lines.append(
        "scoring is validation and the final evaluation; its time is estimated from the share of the forward pass in a "
        f"training step's operations; each job takes {rates.start:g} s to start and end (--start). Not included: "
        "preprocessing, once, and jobs that do not train"
    )
    if unit == "GPU" and runs_on_cpu:
        lines.append("the study runs on a CPU (device: cpu), but these hours are a GPU's; --measure times this machine")
    for number in gpus:
        try:
            least = seconds_at_least(costs, number)
        except ValueError as error:
            lines.append(f"on {number}: not possible: {error}")
            continue
        where = (
            f"on {number} GPU{'s' * (number > 1)}" if unit == "GPU" else f"{number} job{'s' * (number > 1)} at a time"
        )
        lines.append(f"{where}: at least {duration(least)}")
    if rates.slice:
        timings = {
            entry.job.trained: entry.slice * entry.work.step_slices for entry in costs if entry.source == "timed"
        }
        again = " ".join(f"--seconds-per-step {bundle}={seconds:.4g}" for bundle, seconds in timings.items())
        lines += ["", f"to repeat this without timing: python -m tools.studies.estimate {config} {again}"]
    return lines


def page_block(lines: Sequence[str]) -> str:
    """The table of a `report` and the times on several numbers of GPUs, for a page."""
    first = next(number for number, line in enumerate(lines) if "s/step" in line)
    last = next(number for number, line in enumerate(lines) if line.startswith("all trainings"))
    shown = [*lines[first : last + 1], "", *(line for line in lines if line.startswith("on "))]
    return "\n".join(["```", *shown, "```", ""])


if __name__ == "__main__":
    main()
