"""Run studies with Snakemake and return what it prints about them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bundles.conftest import tiny_size
from tests.conftest import ROOT
from tests.quick_python import quick_python

pytest.importorskip("snakemake", reason="Snakemake needs Python 3.11")

STUDIES = ROOT / "tools/studies"
#: Seconds without a new file after which a study counts as stuck; under load, the imports of a job take minutes.
IDLE = 600
#: Of one anatomy.
TWELVE = (
    "orientation", "location", "multitask", "sax_position", "slice_order", "jigsaw", "models_genesis", "simclr",
    "lax_position", "byol", "masked_autoencoder", "simsiam",
)  # fmt: skip


def snakemake(config: Path, *arguments: str, cores: int = 2, **options) -> subprocess.Popen:
    command = [
        quick_python(),
        "-m",
        "snakemake",
        "--snakefile",
        STUDIES / "label_efficiency.smk",
        "--cores",
        str(cores),
    ]
    command += ["--configfile", config, "--rerun-incomplete", "--rerun-triggers", "mtime", "input", "--nolock"]
    return subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def output_of(process: subprocess.Popen, folder: Path, until: Callable[[], bool] = lambda: False) -> str:
    """Wait until the study ends or until something has happened; fail if the study stops writing files.

    On a machine under load, a study is slow but still makes progress, so the total time does not show whether it is stuck.

    Returns:
        The output at the end of the study; an empty text if it still runs.
    """
    looked = time.monotonic()
    while not until():
        try:
            return process.communicate(timeout=0.02)[0]
        except subprocess.TimeoutExpired:
            if time.monotonic() < looked + 30:
                continue
        looked, changed = time.monotonic(), []
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # a temporary file is gone
                changed.append(path.lstat().st_mtime)
        if time.time() > max(changed) + IDLE:
            process.kill()
            pytest.fail(f"nothing was written for {IDLE} s\n{process.communicate()[0][-3000:]}")
    return ""


def tiny_study(folder: Path, epochs: int, val_interval: int, **values: Any) -> Path:
    """The config of a small study of the heart: a pretext, and a fine-tuning from its weights.

    Args:
        folder: folder for the config and the study's ``out``.
        epochs, val_interval: settings of both trainings.
        values: other values of the config.
    """
    training = tiny_size("pretext_cardiac_multitask") | {
        "batch_size": 8,
        "samples_per_epoch": 64,
        "max_epochs": epochs,
        "val_interval": val_interval,
        "checkpoint_interval": 0,
    }
    config = {
        "title": "tiny",
        "out": str(folder / "out"),
        "salt": "phantoms of a test, which are nobody's exams",
        "anatomy": "cardiac",
        "pretext_bundle": "pretext_cardiac_{pretext}",
        "target": {"bundle": "downstream_cardiac_sax_segmentation"},
        "index": {"unlabelled": "--split 0.5 0.2 0.3", "labelled": "--split 0.5 0.2 0.3"},
        "pretexts": ["multitask"],
        "methods": ["multitask"],
        "label_counts": [1],
        "draws": [0],
    }
    config |= values
    config["overrides"] = {"pretrain": training, "finetune": training} | values.get("overrides", {})
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return folder / "tiny.yaml"


def config_of(name: str) -> dict:
    """A study of the repository."""
    return yaml.safe_load((STUDIES / f"configs/{name}.yaml").read_text())


def said_of(config: dict, folder: Path, *arguments: str, refused: bool = True, cores: int = 2) -> str:
    """What Snakemake's dry run prints about a study that it refuses, or accepts."""
    (folder / "study.yaml").write_text(yaml.safe_dump({"out": str(folder / "out")} | config))
    process = snakemake(folder / "study.yaml", "--dry-run", *arguments, cores=cores, cwd=folder)
    text = process.communicate()[0]
    assert (process.returncode != 0) == refused, text[-3000:]
    return text


def option(command: str, name: str) -> str | None:
    """The value of an option on a job's command line."""
    words = shlex.split(command.split("(", 1)[1].rsplit(")", 1)[0])
    assert words.count(f"--{name}") <= 1, "each option is given at most once"
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else None


def page_of(config: dict, folder: Path) -> str:
    """Run a study to its end in a folder, and return its page from ``out``."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(config | {"out": str(folder / "out")}))
    process = snakemake(file, cwd=folder)
    text = output_of(process, folder)
    assert process.returncode == 0, text[-3000:]
    return (folder / "out/report/index.html").read_text()


def planned(config: dict, folder: Path, *arguments: str, cores: int = 2) -> str:
    """Snakemake's output for a study that it would run."""
    return said_of(config | {"out": str(folder / "out")}, folder, *arguments, refused=False, cores=cores)


def jobs(text: str) -> dict[str, int]:
    """Number of jobs of each rule."""
    table = text.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def commands(text: str, rule: str) -> list[str]:
    """The bundle commands of a rule's jobs, identified by their logs."""
    return [line for line in text.splitlines() if "monai.bundle" in line and f"/logs/{rule}_" in line]


def paper_study(name: str, folder: Path) -> dict:
    """A study of the paper's size, with datalists that contain only names of exams: one for validation, one for the test,
    and the others for training.
    """
    config = config_of(name.removesuffix(".yaml"))
    exams = [{"exam": str(number)} for number in range(max(config["label_counts"]))]
    for kind in config["datalists"]:
        (folder / f"{kind}.json").write_text(
            json.dumps({"training": exams, "validation": [{"exam": "v"}], "test": [{"exam": "t"}]})
        )
        config["datalists"][kind] = str(folder / f"{kind}.json")
    return config
