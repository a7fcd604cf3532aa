"""A bundle's inference as a process of its own: `python -m monai.bundle run`, and what of its log a person should see."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from planewise.errors import InputError

_SAID = re.compile(r" - (?:WARNING|INFO) - (exam .*|the weights are .*)")
_REFUSED = re.compile(r"^planewise: (.*)", re.M)


def run_inference(bundle: str | Path, settings: Mapping[str, object]) -> list[str]:
    """Run ``configs/inference.yaml`` of a bundle, as the bundle's own documentation has it.

    Args:
        bundle: its folder.
        settings: overrides; a value of None leaves the configuration's own.

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
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    if done.returncode:
        refused = _REFUSED.findall(done.stderr)
        last = log.strip().splitlines()[-1:] or ["it said nothing"]
        raise InputError(refused[-1] if refused else f"{bundle.name} ended with an error: {last[0]}")
    return list(dict.fromkeys(_SAID.findall(log)))
