"""Test jobs that run side by side on GPUs: no two use one GPU, and a dead job blocks none. The GPUs are only names in this
test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.studies.runs import STUDIES


@pytest.fixture
def start(tmp_path):
    """Starts a shell command on some of the GPUs 0, 1 and 2."""
    started = []

    def start(count: int, command: str, visible: str = "0,1,2") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(STUDIES / "on_gpus.py"), str(count), "--", "bash", "-c", command],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(file: Path) -> str:
    deadline = time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return file.read_text().strip()


def test_jobs_side_by_side_have_gpus_of_their_own(start, tmp_path):
    def stay(name: str) -> str:
        """Report which GPUs were claimed, and wait until the file `go` exists."""
        said = f"{tmp_path}/{name}"
        return f"echo $CUDA_VISIBLE_DEVICES > {said}; until [ -e {tmp_path}/go ]; do sleep 0.02; done"

    first, second = start(2, stay("first")), start(1, stay("second"))
    got = [*wait_for(tmp_path / "first").split(","), wait_for(tmp_path / "second")]
    assert sorted(got) == ["0", "1", "2"]
    third = start(2, "echo $CUDA_VISIBLE_DEVICES")
    assert "waiting for 2 of the GPUs 0, 1, 2" in third.stderr.readline() and third.poll() is None
    (tmp_path / "go").touch()
    assert len(third.communicate(timeout=60)[0].split(",")) == 2
    assert first.wait(60) == second.wait(60) == third.returncode == 0


def test_a_killed_job_leaves_its_gpu(start, tmp_path):
    job = start(3, f"echo $CUDA_VISIBLE_DEVICES > {tmp_path}/has; exec sleep 600", visible="0,1,2,3")
    wait_for(tmp_path / "has")
    job.kill()
    job.communicate()
    assert start(3, "echo $CUDA_VISIBLE_DEVICES", "0,1,2,3").communicate(timeout=60)[0] == "0,1,2\n"
