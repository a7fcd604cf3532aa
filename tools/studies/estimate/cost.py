"""What a study costs before it is run: its jobs, their steps, hours on GPUs.

    python tools/studies/estimate.py tools/studies/configs/table4.yaml --gpus 1,8
    python tools/studies/estimate.py tools/studies/configs/table4.yaml --measure
    python tools/studies/estimate.py tools/studies/configs/table4.yaml --pretexts orientation,location,multitask,simclr

The jobs are those of Snakemake's dry run, steps and slices those of the bundles' own schedules on the study's datalists, or
on the data that its config expects. What a slice costs is counted (operations of the network, at --tflops) or timed
(--measure here, --seconds-per-step elsewhere). A pretext whose bundle is not there yet costs what another does, which is
named.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml
from planewise.data.datalist import expand_volumes, load_datalist, rows_by_exam, select_subjects
from planewise.errors import InputError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from training_cost import BUNDLES, Section, Work, gflop_per_slice, settings, work  # noqa: E402

#: Settings of a job that do not change what its network costs.
OF_THE_JOB = ("datalist", "seed", "subject_seed", "num_subjects", "output_dir", "pretrained", "device", "progress")
#: Form of the phantom exams that steps are timed on.
LAYOUTS = {
    "cardiac": {"pretrain": "dsbcc", "finetune": "acdc"},
    "knee": {"pretrain": "fastmri", "finetune": "mrnet"},
}
SECTIONS = ("training", "validation", "test")


@dataclass(frozen=True)
class Job:
    """A training of the study.

    Attributes:
        kind: ``"pretrain"`` or ``"finetune"``.
        name: its folder in the study.
        bundle: that it runs.
        files: of the bundle's configs.
        settings: overrides as they stand on the command line, without those that are its own.
        after: name of the job whose weights it starts from.
        processes: GPUs.
        exams, seed: which labelled exams it is given; None for all.
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


@dataclass
class Rates:
    """How fast a device is.

    Attributes:
        tflops: 10^12 operations a second, for bundles that were not timed.
        step: bundle to seconds of a training step in one process.
        slice: bundle to seconds of a training step, for each of its slices.
        start: seconds from a job's start to its first step, and from its last to its end.
    """

    tflops: float = 10.0
    step: dict[str, float] = field(default_factory=dict)
    slice: dict[str, float] = field(default_factory=dict)
    start: float = 15.0


@dataclass(frozen=True)
class Cost:
    """What a job takes.

    Attributes:
        job: it.
        bundle: whose numbers these are: the job's, or the one that stands in for it.
        source: of the seconds: ``"timed"``, ``"given"`` or ``"counted"``.
        work: of its training.
        slice: seconds of a training step for each of its slices.
        training, watching: seconds of its training steps; of validation and evaluation.
        seconds: of GPUs, in all.
    """

    job: Job
    bundle: str
    source: str
    work: Work
    slice: float
    training: float
    watching: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        study = yaml.safe_load(options.config.read_text())
        jobs, counts = planned(options.config, options.pretexts)
        data = {kind: sections(study, kind, options.config) for kind in ("unlabelled", "labelled")}
        absent = not all(there(job.bundle) for job in jobs)
        stand_in = options.stand_in or (costliest(jobs, data) if absent else "")
        rates = Rates(options.tflops, dict(options.seconds_per_step), start=options.start)
        costs = [cost(job, data, rates, stand_in) for job in jobs]
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        if options.measure:
            rates.slice = timed(jobs, study["anatomy"], device, options.steps)
            costs = [cost(job, data, rates, stand_in) for job in jobs]
    except InputError as error:
        sys.exit(f"planewise: {error}")
    print(f"{study['title']} ({options.config})\n")
    print("\n".join(report(costs, counts, data, rates, device, options.gpus)))


def planned(config: Path, pretexts: Sequence[str] | None = None) -> tuple[list[Job], dict[str, int]]:
    """The trainings that Snakemake would run for a study from its beginning, and how many jobs of each rule.

    Args:
        config: of the study.
        pretexts: in place of the config's, whether their bundles are there or not.

    Raises:
        InputError: Snakemake refuses the study, with its words.
    """
    study = yaml.safe_load(config.read_text())
    with tempfile.TemporaryDirectory() as folder:
        changes = {"out": folder + "/out"}
        if study.get("datalists"):
            # what they hold does not change the jobs, and they may not be there yet
            changes["datalists"] = {kind: f"{folder}/{kind}.json" for kind in study["datalists"]}
            for path in changes["datalists"].values():
                Path(path).write_text("{}")
        if study.get("imagenet"):
            changes["imagenet"] = folder + "/imagenet.pth"
            Path(changes["imagenet"]).touch()
        if pretexts:
            changes["pretexts"] = list(pretexts)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "label_efficiency.smk")]
        command += [
            "--configfile",
            str(config.resolve()),
            "--cores",
            "1",
            "--dry-run",
            "--printshellcmds",
            "--nolock",
            "--config",
        ]
        command += [f"{name}={json.dumps(value)}" for name, value in changes.items()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    text = done.stdout + done.stderr
    if done.returncode:
        raise InputError("Snakemake refuses the study: " + " ".join(text.strip().splitlines()[-3:]))
    table = text.split("Job stats:")[1].split("\n\n")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if name != "total"}
    jobs = [
        _job(kind, command)
        for command, kind in re.findall(r"\((cd .*)\) > \S+/logs/(pretrain|finetune)_\w+\.log", text)
    ]
    return jobs, counts


def _job(kind: str, text: str) -> Job:
    """A job from its command line."""
    words = shlex.split(text)
    launcher, run = words[: words.index("monai.bundle")], words[words.index("monai.bundle") + 2 :]
    given = {name[2:]: value for name, value in zip(run[::2], run[1::2], strict=True)}
    processes = [word.partition("=")[2] for word in launcher if word.startswith("--nproc_per_node=")]
    after, exams = given.get("pretrained"), given.get("num_subjects")
    files = [Path(name).name for name in yaml.safe_load(given.pop("config_file"))]
    return Job(
        kind=kind,
        name=_name(given["output_dir"]),
        bundle=Path(words[1]).name,
        files=tuple(name for name in files if name != "multi_gpu_train.yaml"),
        settings=tuple((name, value) for name, value in given.items() if name not in OF_THE_JOB),
        after=_name(after) if after else None,
        processes=int(processes[0]) if processes else 1,
        exams=int(exams) if exams else None,
        seed=int(given.get("subject_seed", 0)),
    )


def _name(folder: str) -> str:
    return folder.partition("/out/")[2]


def sections(study: Mapping[str, Any], kind: str, config: Path) -> dict[str, Any]:
    """How much data the study has: of its datalist, else what its config expects.

    Returns:
        ``training``, ``validation``, ``test`` (each a `Section`), ``items`` (those to train on, None without a datalist)
        and ``source``, in words.

    Raises:
        InputError: there is neither.
    """
    named = (study.get("datalists") or {}).get(kind)
    path = Path(named or Path(study["out"]) / f"{kind}.json")
    if path.is_file():
        items = {name: expand_volumes(load_datalist(path, name)) for name in SECTIONS}
        found = {name: Section(len(rows_by_exam(items[name])), len(items[name])) for name in SECTIONS}
        return {**found, "items": items["training"], "source": f"of {path.name}"}
    if kind not in (study.get("expected") or {}):
        raise InputError(
            f"there is no {path}, and {config} does not say what to expect; index the data, or add "
            f"`expected: {{{kind}: {{training: [EXAMS, SLICES], validation: [..], test: [..]}}}}`"
        )
    found = {name: Section(*study["expected"][kind].get(name, (0, 0))) for name in SECTIONS}
    return {**found, "items": None, "source": f"expected (there is no {path.name})"}


def _drawn(job: Job, data: Mapping[str, Any]) -> Section:
    """What of the training section a job is given."""
    section = data["training"]
    if job.exams is None:
        return section
    if data["items"] is not None:
        tasks = _config(job.bundle, job.files, job.settings).get("tasks") or ()
        items = select_subjects(data["items"], job.exams, job.seed, tasks)
        return Section(job.exams, len(items))
    if job.exams > section.exams:
        raise InputError(f"{job.name} wants {job.exams} labelled exams, {section.exams} are expected")
    return Section(job.exams, math.ceil(section.slices * job.exams / section.exams))


@lru_cache
def _config(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> Any:
    return settings(bundle, files, {name: yaml.safe_load(value) for name, value in overrides})


@lru_cache
def _gflop(bundle: str, files: tuple[str, ...], overrides: tuple[tuple[str, str], ...]) -> tuple[float, float]:
    return gflop_per_slice(_config(bundle, files, overrides))


def there(bundle: str) -> bool:
    return (BUNDLES / bundle / "configs" / "train.yaml").is_file()


def costliest(jobs: Sequence[Job], data: Mapping[str, Mapping[str, Any]]) -> str:
    """Of the study's pretexts that are there the one with most operations, to stand in for those that are not.

    Raises:
        InputError: none of them is there.
    """
    candidates = [job for job in jobs if job.kind == "pretrain" and there(job.bundle)]
    if not candidates:
        absent = ", ".join(sorted({job.bundle for job in jobs if not there(job.bundle)}))
        raise InputError(f"none of the pretexts has a bundle yet ({absent}); say what one costs with --stand-in BUNDLE")
    return max(candidates, key=lambda job: cost(job, data, Rates(), job.bundle).training).bundle


def timed(jobs: Sequence[Job], anatomy: str, device: str, steps: int | None = None) -> dict[str, float]:
    """Seconds per slice of each bundle's training steps on a device; bundles that are not there are left out."""
    from phantom_data import phantom_datalist
    from time_steps import seconds_per_slice

    steps, warmup = (steps or 2, 1) if device == "cpu" else (steps or 20, 5)
    found: dict[str, float] = {}
    datalists: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for job in {job.bundle: job for job in jobs if there(job.bundle)}.values():
            if job.kind not in datalists:
                datalists[job.kind] = phantom_datalist(Path(folder), anatomy, LAYOUTS[anatomy][job.kind])
            print(f"timing {job.bundle} on {device} ...", file=sys.stderr, flush=True)
            # its own: timing changes it
            config = _config.__wrapped__(job.bundle, job.files, job.settings)
            found[job.bundle] = seconds_per_slice(config, datalists[job.kind], device, steps, warmup)
    return found


def cost(job: Job, data: Mapping[str, Mapping[str, Any]], rates: Rates, stand_in: str) -> Cost:
    """What a job takes.

    Args:
        job: of the study.
        data: what `sections` says of ``"unlabelled"`` and ``"labelled"``.
        rates: of the device.
        stand_in: the bundle whose cost is taken where the job's is not there.
    """
    own = data["unlabelled" if job.kind == "pretrain" else "labelled"]
    bundle = job.bundle if there(job.bundle) else stand_in
    arguments = (bundle, job.files, job.settings)
    run = work(_config(*arguments), _drawn(job, own), own["validation"], job.processes)
    forward, both = _gflop(*arguments)
    if bundle in rates.step:
        source, each = "given", rates.step[bundle] / run.step_slices * job.processes
    elif bundle in rates.slice:
        source, each = "timed", rates.slice[bundle]
    else:
        source, each = "counted", both / rates.tflops / 1e3
    training = run.steps * run.step_slices * each
    # one process evaluates while the others' GPUs wait
    watching = (run.passes * run.validated + own["test"].slices * job.processes) * each * forward / both
    return Cost(job, bundle, source, run, each, training, watching, rates.start * job.processes + training + watching)


def wall_seconds(costs: Sequence[Cost], gpus: int) -> tuple[float, float]:
    """From the start of a study to the end of its last training, on so many GPUs; and the longest chain of jobs in it.

    A job that is spread over several GPUs is taken to be as many times as fast. Whoever can start does, pretexts first and
    the longer ones before the shorter.
    """
    if (most := max(entry.job.processes for entry in costs)) > gpus:
        raise ValueError(f"a job is spread over {most} GPUs and there are {gpus}")
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


def report(
    costs: Sequence[Cost],
    counts: Mapping[str, int],
    data: Mapping[str, Mapping[str, Any]],
    rates: Rates,
    device: str,
    gpus: Sequence[int],
) -> list[str]:
    """The estimate as lines of text."""
    unit = "CPU" if rates.slice and device == "cpu" else "GPU"
    lines = ["jobs of Snakemake's dry run: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    for kind, found in data.items():
        sizes = "; ".join(f"{name} {found[name].exams} exams, {found[name].slices} slices" for name in SECTIONS)
        lines.append(f"{kind} data, {found['source']}: {sizes}")
    absent = {entry.job.bundle: entry.bundle for entry in costs if entry.bundle != entry.job.bundle}
    absent = dict(sorted(absent.items()))
    if absent:
        stand_in = next(iter(absent.values()))
        lines.append(f"not there yet, taken to cost what {stand_in} does: {', '.join(absent)}")
    lines += ["", f"{'':44}{'jobs':>5}{'steps':>9}{'s/step':>9}{'training':>10}{'scoring':>9}{'hours':>8}"]
    rows: dict[tuple[str, int | None], list[Cost]] = {}
    for entry in costs:
        rows.setdefault((entry.job.bundle, entry.job.exams), []).append(entry)
    for (bundle, exams), entries in sorted(
        rows.items(), key=lambda row: (row[1][0].job.kind != "pretrain", row[0][1] or 0, row[0][0])
    ):
        name = bundle + (f", {exams} exam{'s' if exams > 1 else ''}" if exams else "")
        name += "" if entries[0].bundle == bundle else " *"
        steps = sum(entry.work.steps for entry in entries)
        step = entries[0].slice * entries[0].work.step_slices
        hours = [sum(getattr(entry, part) for entry in entries) / 3600 for part in ("training", "watching", "seconds")]
        lines.append(
            f"{name:44}{len(entries):>5}{steps:>9}{step:>9.3f}{hours[0]:>10.1f}{hours[1]:>9.1f}{hours[2]:>8.1f}"
        )
    total = sum(entry.seconds for entry in costs) / 3600
    steps = sum(entry.work.steps for entry in costs)
    lines += [f"{'all trainings':44}{len(costs):>5}{steps:>9}{'':28}{total:>8.1f} {unit} hours", ""]
    where = f"this {'CPU' if device == 'cpu' else torch.cuda.get_device_name(device)}"
    if device == "cpu":
        where += f" ({torch.get_num_threads()} threads)"
    meaning = {
        "timed": f"timed on {where}: training steps of the bundle's own trainer at the study's size",
        "given": "seconds of a step as given by --seconds-per-step",
        "counted": f"reasoned, not measured: operations of the network, counted, at {rates.tflops:g} TFLOP/s (--tflops)",
    }
    sources = Counter(entry.source for entry in costs)
    lines += [f"{count} of {len(costs)} {meaning[source]}" for source, count in sources.items()]
    lines.append(
        f"scoring is validation and the final evaluation, at the forward pass's share of a step's operations; each job has "
        f"{rates.start:g} s to start and end (--start). Not in it: preprocessing, once, and jobs that do not train"
    )
    most = max(entry.job.processes for entry in costs)
    for number in gpus:
        if number < most:
            lines.append(f"on {number}: not at all, a job is spread over {most} (`processes`)")
            continue
        wall, chain = (seconds / 3600 for seconds in wall_seconds(costs, number))
        devices = f"{number} {'GPU' if unit == 'GPU' else 'such machine'}{'s' if number > 1 else ''}"
        lines.append(f"on {devices}: {wall:.1f} hours; no number of them makes it shorter than {chain:.1f}")
    if rates.slice:
        timings = {entry.bundle: entry.slice * entry.work.step_slices for entry in costs if entry.source == "timed"}
        again = " ".join(f"--seconds-per-step {bundle}={seconds:.4g}" for bundle, seconds in timings.items())
        lines += ["", f"the same without timing again: {again}"]
    return lines


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of the study, tools/studies/configs/table4.yaml")
    parser.add_argument("--pretexts", type=_names, help="in place of the config's; their bundles need not be there")
    parser.add_argument(
        "--measure", action="store_true", help="time a few training steps of each bundle on this machine"
    )
    parser.add_argument("--steps", type=int, help="how many steps --measure times (20; on a CPU 2)")
    parser.add_argument(
        "--seconds-per-step",
        type=_seconds,
        action="append",
        default=[],
        metavar="BUNDLE=SECONDS",
        help="timed elsewhere",
    )
    parser.add_argument("--tflops", type=float, default=10.0, help="10^12 operations a second that the device sustains")
    parser.add_argument("--start", type=float, default=15.0, help="seconds that a job takes to start and end")
    parser.add_argument("--stand-in", help="bundle whose cost is taken for those that are not there")
    parser.add_argument("--gpus", type=_numbers, default=[1, 8], help="how long on so many: 1,8,64")
    options = parser.parse_args(arguments)
    if not options.config.is_file():
        parser.error(f"there is no study {options.config}; those that are there lie in {HERE / 'configs'}")
    if options.stand_in and not there(options.stand_in):
        parser.error(f"there is no bundle {options.stand_in}")
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _names(text)]


def _seconds(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if not there(name):
        raise argparse.ArgumentTypeError(f"there is no bundle {name}")
    return name, float(seconds)


if __name__ == "__main__":
    main()
