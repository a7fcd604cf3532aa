"""Test that no child process remains when a command is killed with a signal that it cannot handle."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from planewise.own_exams.bundles import PLANS

from tests.conftest import ROOT
from tests.exams.conftest import write_usual_exam


def of_session(number):
    """Processes of a session that are still running."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(session) == number and state != "Z":
            found.append(int(entry.name))
    return found


def killed(command, ready):
    """Kill a command once it is ready, and return those of its processes that still run 20 seconds later; they are killed,
    too.
    """
    # a session of its own, so that its processes can be identified
    process = subprocess.Popen([sys.executable, "-m", "planewise", *map(str, command)], start_new_session=True)
    try:
        _until(lambda: ready(process.pid) or process.poll() is not None, 120)
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()
        _until(lambda: not of_session(process.pid), 20)
        return of_session(process.pid)
    finally:
        for left in of_session(process.pid):
            os.kill(left, signal.SIGKILL)


def _until(is_so, seconds):
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)


def test_the_workers_of_an_index_end_with_it(tmp_path):
    write_usual_exam(tmp_path / "exam")
    file = next(path for path in (tmp_path / "exam").rglob("*") if path.is_file()).read_bytes()
    for number in range(3000):
        (tmp_path / "exam" / f"more{number}.dcm").write_bytes(file)
    # the command itself, two servers of multiprocessing and two workers
    command = ["index", tmp_path / "exam", "-o", tmp_path / "list.json"]
    assert killed(command, lambda session: len(of_session(session)) > 3) == []


def test_the_inference_of_a_plan_ends_with_it(tmp_path):
    write_usual_exam(tmp_path / "exam")
    begun = tmp_path / "begun"
    bundle = shutil.copytree(ROOT / "bundles" / PLANS, tmp_path / PLANS)
    file = bundle / "configs/inference.yaml"
    run = [f"$open({str(begun)!r}, 'w')", "$__import__('time').sleep(120)"]
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"run": run}))
    command = ["plan", tmp_path / "exam", "--weights", bundle, "-o", tmp_path / "out"]
    assert killed(command, lambda _: begun.exists()) == []
