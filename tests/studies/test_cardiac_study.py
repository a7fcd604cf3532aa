"""A whole study through Snakemake: killed, started again, and reported."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import psutil
import pytest
import yaml
from planewise.engines import read_history

from tests.bundles.conftest import TINY
from tests.conftest import ROOT

STUDIES = ROOT / "tools/studies"
SIZE = {key: TINY[key] for key in ("features", "stem_stride", "image_size", "spacing")}


def snakemake(config: Path, *arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(STUDIES / "cardiac.smk"), "--cores", "2"]
    return subprocess.Popen(
        [
            *command,
            "--configfile",
            str(config),
            "--rerun-incomplete",
            "--rerun-triggers",
            "mtime",
            "--nolock",
            *arguments,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def kill_with_children(process: subprocess.Popen) -> None:
    everyone = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in everyone:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def tiny_study(tmp_path):
    training = SIZE | {"batch_size": 8, "samples_per_epoch": 64, "max_epochs": 5, "val_interval": 2}
    config = {
        "title": "tiny",
        "out": str(tmp_path / "out"),
        "salt": "phantoms of a test, which are nobody's exams",
        "phantom": {
            "unlabelled": "--exams 8 --seed 3 --phases 2 --set spacing=3.6,4.2",
            "labelled": "--layout acdc --exams 10 --seed 4 --phases 2 --set spacing=3.6,4.2",
        },
        "index": {"unlabelled": "--split 0.5 0.2 0.3", "labelled": "--split 0.5 0.2 0.3"},
        "pretexts": ["multitask"],
        "methods": ["none", "multitask"],
        "label_counts": [1],
        "draws": [0],
        "diagnose": [0],
        "overrides": {"pretrain": training, "finetune": training, "plan": SIZE},
    }
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(config))
    return file, tmp_path / "out"


def test_a_killed_study_goes_on_and_writes_its_report(tiny_study):
    config, out = tiny_study
    process = snakemake(config, cwd=config.parent)
    history = out / "pretrain/multitask/history.csv"
    deadline = time.time() + 240
    while time.time() < deadline and process.poll() is None and not (history.parent / "models/last.pt").exists():
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[0][-3000:]
    kill_with_children(process)
    assert 1 <= len(read_history(history)) < 5
    phantom = (out / "phantom_unlabelled.done").stat().st_mtime_ns

    process = snakemake(config, cwd=config.parent)
    text = process.communicate(timeout=500)[0]
    assert process.returncode == 0, text[-3000:]
    assert "going on after epoch" in (out / "logs/pretrain_multitask.log").read_text()
    assert [row["epoch"] for row in read_history(history)] == [1, 2, 3, 4, 5]
    assert (out / "phantom_unlabelled.done").stat().st_mtime_ns == phantom, "what was done is kept"

    page = (out / "report/index.html").read_text()
    for heading in ("Data", "Pretexts", "Segmentation from few labels", "Diagnosis", "View planning", "What ran"):
        assert f"<h2>{heading}" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "one file that carries everything"
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(pictures) >= 8
    for picture in pictures:
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(picture)))
        assert pixels.std() > 0.01, "an empty picture"
    # the tables are the runs' numbers
    location = json.loads((out / "pretrain/multitask/test/metrics.json").read_text())["location"]
    assert f"<td>{location['pearson_r']:.4f}</td>" in page
    gain = [
        json.loads((out / f"finetune/{method}/1/0/test/metrics.json").read_text())["mean"]["dice"]["mean"]
        for method in ("none", "multitask")
    ]
    assert f"<td>{gain[1] - gain[0]:+.3f}</td>" in page
    # nothing is left to do
    process = snakemake(config, "--dry-run", cwd=config.parent)
    assert "Nothing to be done" in process.communicate()[0]


@pytest.mark.parametrize("name", sorted(path.name for path in (STUDIES / "configs").glob("table*.yaml")))
def test_paper_size_studies_plan_their_jobs(name, tmp_path):
    config = yaml.safe_load((STUDIES / "configs" / name).read_text())
    config["out"] = str(tmp_path / "out")
    for kind in config["datalists"]:
        (tmp_path / f"{kind}.json").write_text(json.dumps({"training": [], "validation": [], "test": []}))
        config["datalists"][kind] = str(tmp_path / f"{kind}.json")
    file = tmp_path / name
    file.write_text(yaml.safe_dump(config))
    process = snakemake(file, "--dry-run", cwd=tmp_path)
    text = process.communicate()[0]
    assert process.returncode == 0, text[-3000:]
    runs = len(config["methods"]) * len(config["label_counts"]) * len(config["draws"])
    assert re.search(rf"finetune +{runs}\b", text), text[-3000:]
    # at the paper's size: no overlay shrinks it
    assert "demo.yaml" not in text
