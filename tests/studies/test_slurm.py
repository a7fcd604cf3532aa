"""Test a study on a real SLURM cluster of one node, whose job, node and controller are killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from planewise.engines import read_history

from tests.studies.runs import STUDIES, tiny_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin"),
        reason="needs SLURM: apt-get install slurm-wlm",
    ),
]
EPOCHS = 20


@pytest.fixture
def cluster(tmp_path) -> Iterator[Callable[[], dict[str, str]]]:
    """A function that starts the missing daemons of a cluster in the test's folder ``cluster``, and returns the environment
    for commands that use the cluster.
    """
    pytest.importorskip("snakemake_executor_plugin_slurm")

    def start() -> dict[str, str]:
        script = f'eval "$({STUDIES}/slurm_cluster {tmp_path}/cluster)" && env -0'
        found = subprocess.run(["bash", "-c", script], check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
        return dict(line.split("=", 1) for line in found.split("\0") if line)

    yield start
    subprocess.run([STUDIES / "slurm_cluster", tmp_path / "cluster", "stop"], check=True)


def study(folder: Path) -> Path:
    """The config of a small study, with the resources that its jobs request."""
    phantoms = {
        "unlabelled": "--exams 8 --seed 3 --phases 1 --set spacing=3.6,4.2",
        "labelled": "--layout acdc --exams 10 --seed 4 --phases 2 --set spacing=3.6,4.2",
    }
    rules = ("phantom", "index", "inspect", "pretrain", "finetune", "report")
    resources = {rule: {"mem_mb": 2000, "runtime": 10} for rule in rules}
    return tiny_study(folder, EPOCHS, val_interval=5, phantom=phantoms, resources=resources)


def test_a_study_outlives_its_job_its_node_and_its_controller(cluster, tmp_path):
    environment = cluster()
    log = tmp_path / "log"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", STUDIES / "label_efficiency.smk", "--nolock"),
            *("--configfile", study(tmp_path), "--profile", STUDIES / "profiles/slurm"),
            # short limits for the test; the profile's limits are for jobs of hours
            *("--slurm-init-seconds-before-status-checks", "2", "--max-status-checks-per-second", "1"),
        ],
        cwd=tmp_path,
        env=environment,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )

    def until(happened: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 300
        while not happened():
            assert process.poll() is None, f"the study ended before {what}\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{what} did not happen\n{log.read_text()[-3000:]}"
            time.sleep(0.05)

    def kill(daemon: str) -> None:
        os.kill(int((tmp_path / f"cluster/{daemon}.pid").read_text()), signal.SIGKILL)

    def trainer(folder: Path) -> int:
        """The process that trains in a folder."""
        return int(re.search(r"process (\d+)", (folder / "run.lock").read_text())[1])

    def queue() -> str:
        return subprocess.run(["squeue", "-h", "-o", "%T"], env=environment, stdout=subprocess.PIPE, text=True).stdout

    try:
        # a job is killed
        pretrained, tuned = tmp_path / "out/pretrain/multitask", tmp_path / "out/finetune/multitask/1/0"
        until((pretrained / "models/last.ckpt").exists, "the first epoch")
        os.kill(trainer(pretrained), signal.SIGKILL)
        until(lambda: "Trying to restart job" in log.read_text(), "a second submission")
        # the node stops answering, and SLURM gives its job to the next node, which is the same one
        until((tuned / "models/last.ckpt").exists, "fine-tuning")
        os.kill(trainer(tuned), signal.SIGSTOP)  # otherwise the job would finish before SLURM misses its node
        kill("slurmd")
        until(lambda: "PENDING" in queue(), "the job's return to the queue")
        cluster()
        # the controller is down while the job continues
        tuned_log = tmp_path / "out/logs/finetune_multitask_1_0.log"
        until(lambda: tuned_log.exists() and "resuming after epoch" in tuned_log.read_text(), "the requeued job")
        kill("slurmctld")
        until((tuned / "test/metrics.json").exists, "the job's end")
        cluster()
        until((tmp_path / "out/report/index.html").exists, "the page")
        assert process.wait(timeout=120) == 0, log.read_text()[-3000:]
    finally:
        process.terminate()
        process.wait()
    assert "resuming after epoch" in (tmp_path / "out/logs/pretrain_multitask.log").read_text()
    for folder in (pretrained, tuned):
        assert [row["epoch"] for row in read_history(folder / "history.csv")] == list(range(1, EPOCHS + 1))
