"""A bundle's inference as a process of its own: `python -m monai.bundle run`, and what of its log a person should see."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from planewise.errors import InputError

_SAID = re.compile(r" - (?:WARNING|INFO) - (exam .*|the weights are .*)")
_REFUSED = re.compile(r"^planewise: (.*)", re.M)
#: The last line of a traceback. Of errors that were raised from each other, Python prints the first cause first.
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception)\b.*", re.M)
#: Seconds from one look at a run to the next.
_LOOK_EVERY = 1.0


def run_inference(
    bundle: str | Path, settings: Mapping[str, object], watch: Callable[[], None] | None = None
) -> list[str]:
    """Run ``configs/inference.yaml`` of a bundle, as the bundle's own documentation has it.

    Args:
        bundle: its folder.
        settings: overrides; a value of None leaves the configuration's own.
        watch: called every second while it runs, to say how far it is.

    Returns:
        What the run says of exams and of its weights, a line each.

    Raises:
        InputError: there is no such bundle, or what the run refused, in its own words.
    """
    bundle = Path(bundle)
    config = bundle / "configs" / "inference.yaml"
    if not config.is_file():
        raise InputError(f"there is no bundle in {bundle}; name the folder that holds the bundles with --bundles")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.yaml"]
    for name, value in settings.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    code, stdout, stderr = _run(command, bundle, watch)
    log = stdout + stderr
    said = list(dict.fromkeys(_SAID.findall(log)))
    if code:
        if refused := _REFUSED.findall(stderr):
            raise InputError(refused[-1])
        why = _RAISED.findall(stderr)[:1] or log.strip().splitlines()[-1:] or ["it said nothing"]
        doubts = "; ".join(line for line in said if line.startswith("exam "))
        raise InputError(f"{bundle.name} ended with an error: {why[0]}" + (f" (before it: {doubts})" if doubts else ""))
    return said


def _run(command: list[str], folder: Path, watch: Callable[[], None] | None) -> tuple[int, str, str]:
    """A process to its end: its status, and what it wrote on both streams."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            while process.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    stdout, stderr = process.communicate(timeout=_LOOK_EVERY)
                if watch is not None:
                    watch()
        except BaseException:  # as `subprocess.run`: nothing is left running when a person stops the command
            process.kill()
            raise
    return process.returncode, stdout, stderr
