"""Studies through Snakemake, and what it prints of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.quick_python import quick_python

pytest.importorskip("snakemake", reason="Snakemake needs Python 3.11")

STUDIES = ROOT / "tools/studies"
#: Of one anatomy.
TWELVE = (
    "orientation", "location", "multitask", "sax_position", "slice_order", "jigsaw", "models_genesis", "simclr",
    "relative_patch_location", "byol", "masked_autoencoder", "rotation",
)  # fmt: skip


def snakemake(config: Path, *arguments: str, cores: int = 2, **options) -> subprocess.Popen:
    command = [
        quick_python(),
        "-m",
        "snakemake",
        "--snakefile",
        str(STUDIES / "label_efficiency.smk"),
        "--cores",
        str(cores),
    ]
    return subprocess.Popen(
        [
            *command,
            "--configfile",
            str(config),
            "--rerun-incomplete",
            "--rerun-triggers",
            "mtime",
            "input",
            "--nolock",
            *arguments,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def page_of(config: dict, folder: Path) -> str:
    """The page of a study that is run to its end, in ``out`` of a folder."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(config | {"out": str(folder / "out")}))
    process = snakemake(file, cwd=folder)
    text = process.communicate(timeout=900)[0]
    assert process.returncode == 0, text[-3000:]
    return (folder / "out/report/index.html").read_text()


def planned(config: dict, folder: Path, *arguments: str, cores: int = 2) -> str:
    """What Snakemake prints of a study that it would run."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(config | {"out": str(folder / "out")}))
    process = snakemake(file, "--dry-run", *arguments, cores=cores, cwd=folder)
    text = process.communicate()[0]
    assert process.returncode == 0, text[-3000:]
    return text


def jobs(text: str) -> dict[str, int]:
    """Number of jobs of each rule."""
    table = text.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def commands(text: str, rule: str) -> list[str]:
    """Bundle commands of a rule's jobs, told by their logs."""
    return [line for line in text.splitlines() if "monai.bundle" in line and f"/logs/{rule}_" in line]


def paper_study(name: str, folder: Path) -> dict:
    """A study of the paper's size, its datalists empty."""
    config = yaml.safe_load((STUDIES / "configs" / name).read_text())
    for kind in config["datalists"]:
        (folder / f"{kind}.json").write_text(json.dumps({"training": [], "validation": [], "test": []}))
        config["datalists"][kind] = str(folder / f"{kind}.json")
    return config
