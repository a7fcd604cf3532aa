"""Find the trainings of a study and the amount of data for each."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from planewise.data.datalist import expand_volumes, gather_stacks, load_datalist, rows_by_exam
from planewise.errors import InputError

from tools.benchmarks.training_cost import BUNDLES, Section
from tools.studies.datalists import datalist_kind

STUDIES = Path(__file__).resolve().parent.parent
#: Settings of a job that do not affect the cost of its network.
OF_THE_JOB = ("datalist", "seed", "subject_seed", "num_subjects", "output_dir", "pretrained", "device", "progress")
SECTIONS = ("training", "validation", "test")


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
        overlays: those of ``files`` that not all jobs of the bundle have, such as a config with another network.
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
        changes = {"out": folder + "/out"}
        if study.get("datalists"):
            # the datalists' content does not affect the jobs, and the files may not exist yet
            changes["datalists"] = {kind: f"{folder}/{kind}.json" for kind in study["datalists"]}
            for path in changes["datalists"].values():
                Path(path).write_text("{}")
        if "imagenet" in study:
            changes["imagenet"] = folder + "/imagenet.pth"
            Path(changes["imagenet"]).touch()
        if pretexts:
            changes |= {"pretexts": list(pretexts), "methods": ["none", *pretexts]}
        elif isinstance(study.get("methods"), dict):
            changes["methods"] = {name: _findable(given, folder) for name, given in study["methods"].items()}
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(STUDIES / "label_efficiency.smk")]
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
    return _with_overlays(jobs), counts


def _with_overlays(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each with the configs that not all jobs of its bundle have."""
    common: dict[str, set[str]] = {}
    for job in jobs:
        common.setdefault(job.bundle, set(job.files)).intersection_update(job.files)
    return [replace(job, overlays=tuple(file for file in job.files if file not in common[job.bundle])) for job in jobs]


def _findable(method: Mapping[str, Any] | None, folder: str) -> dict[str, Any]:
    """A method that is valid in another folder: the path of its overlay is absolute, and its weights are an empty file."""
    method = dict(method or {})
    if method.get("weights", "imagenet") != "imagenet":
        method["weights"] = f"{folder}/weights.pt"
        Path(method["weights"]).touch()
    overlay = method.get("overlay") or {}
    if isinstance(overlay, Mapping):
        found = {kind: _absolute(file) for kind, file in overlay.items()}
    else:
        found = _absolute(overlay)
    return method | ({"overlay": found} if found else {})


def _absolute(overlay: str) -> str:
    """Make an overlay absolute if it is a path, which is the case if it contains a slash."""
    return str(Path(overlay).expanduser().resolve()) if "/" in overlay else overlay


def _job(kind: str, text: str) -> Job:
    """Parse a job from its command line."""
    words = shlex.split(text)
    launcher, run = words[: words.index("monai.bundle")], words[words.index("monai.bundle") + 2 :]
    given = {name[2:]: value for name, value in zip(run[::2], run[1::2], strict=True)}
    processes = [word.partition("=")[2] for word in launcher if word.startswith("--nproc_per_node=")]
    after, exams = given.get("pretrained"), given.get("num_subjects")
    files = [name.removeprefix("configs/") for name in yaml.safe_load(given.pop("config_file"))]
    return Job(
        kind=kind,
        name=_name(given["output_dir"]),
        bundle=Path(words[1]).name,
        files=tuple(name for name in files if name != "multi_gpu_train.yaml"),
        settings=tuple((name, value) for name, value in given.items() if name not in OF_THE_JOB),
        after=_name(after or "") or None,
        processes=int(processes[0]) if processes else 1,
        exams=int(exams) if exams else None,
        seed=int(given.get("subject_seed", 0)),
    )


def _name(folder: str) -> str:
    """The path of a folder within the study; empty for weights from elsewhere."""
    return folder.partition("/out/")[2]


def there(bundle: str) -> bool:
    """Whether there is a bundle of that name."""
    return (BUNDLES / bundle / "configs" / "train.yaml").is_file()


def sections(study: Mapping[str, Any], kind: str, config: Path) -> dict[str, Any]:
    """The amount of data of a study, from its datalist or, if it does not exist yet, from the config's ``expected``.

    Returns:
        ``training``, ``validation``, ``test`` (each a `Section`), ``items`` (the training items; None without a datalist),
        ``source`` (a description of the source), and ``unit`` (name of the counted units).

    Raises:
        InputError: the study has neither a datalist nor expected numbers.
    """
    kind = datalist_kind(study, kind)
    unit = {"volume": "volumes", "photograph": "photographs"}.get(study.get("anatomy", ""), "slices")
    named = (study.get("datalists") or {}).get(kind)
    path = Path(named or Path(study["out"]) / f"{kind}.json")
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
