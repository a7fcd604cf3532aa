"""Test the quick Python against the usual one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.quick_python import quick_python

SAYS = """
import atexit, logging, os, sys
atexit.register(print, "at the end")
print(sys.argv[1:], os.getcwd(), os.environ["WHO"], __name__, sys.stdin.read())
logging.warning("heard")
sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
"""


def started(python: str, folder, *arguments: str, **options) -> subprocess.Popen:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [python, *arguments], cwd=folder, env=os.environ | {"WHO": "me"}, text=True, **streams, **options
    )


@pytest.mark.parametrize("code", ["0", "3", "no"])
def test_a_module_has_its_own_arguments_streams_folder_and_end(code, tmp_path):
    (tmp_path / "says.py").write_text(SAYS)
    ends = []
    for python in (quick_python(), sys.executable):
        process = started(python, tmp_path, "-m", "says", code, "é --x")
        ends.append((*process.communicate("asked"), process.returncode))
    assert ends[0] == ends[1] and ends[0][0].endswith("me __main__ asked\nat the end\n")
    assert ends[0][2] == (int(code) if code.isdigit() else 1)


WAITS = """
import os, signal, subprocess, sys, time
if sys.argv[1:]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
else:
    print(subprocess.Popen([sys.executable, "-m", "waits", "more"]).pid, flush=True)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_signal_reaches_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    process = started(quick_python(), tmp_path, "-m", "waits", "more")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 5


def test_killed_it_dies_with_what_it_started(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    process = started(quick_python(), tmp_path, "-m", "waits")
    family = [psutil.Process(int(process.stdout.readline())) for _ in range(3)]
    process.kill()
    assert process.wait() == -signal.SIGKILL
    deadline = time.time() + 20
    while time.time() < deadline and any(one.is_running() and one.status() != "zombie" for one in family):
        time.sleep(0.02)
    assert not any(one.is_running() and one.status() != "zombie" for one in family)


def test_it_ends_with_the_script_that_owns_it():
    owner = subprocess.Popen(["sleep", "300"])
    # otherwise it would be that of this test run
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_TESTRUNUID"}
    command = [sys.executable, "-m", "tests.quick_python", str(owner.pid)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}  # the server keeps the latter
    python = subprocess.run(command, text=True, env=environment, **streams).stdout.strip()
    assert subprocess.run([python, "-c", "print(7)"], capture_output=True, text=True).stdout == "7\n"
    owner.kill()
    owner.wait()
    until = time.monotonic() + 60
    while os.path.exists(python) and time.monotonic() < until:
        time.sleep(0.1)
    assert not os.path.exists(python)
