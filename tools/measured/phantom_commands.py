"""Run the commands with which a bundle's README measures its scores on phantoms."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def phantom_commands(bundle: str) -> list[list[str]]:
    """For each block of commands in a bundle's README that writes phantoms, its commands, with continuation lines joined."""
    text = (ROOT / "bundles" / bundle / "docs/README.md").read_text()
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```bash\n(.*?)```", text, re.S)]
    return [[line for line in block.splitlines() if line.strip()] for block in blocks if "planewise phantom" in block]


def measure(bundle: str, out: Path) -> dict[str, Any]:
    """Run a bundle's phantom commands, except those for inference, in a folder, whose phantoms are kept if they are there.

    Returns:
        The record: ``made_by``, and under ``runs`` the scores on the test section of each run by the name of its folder.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # scores depend on the number of threads
    environment = {"PLANEWISE_CACHE": str(out / "cache")} | os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("PLANEWISE_SALT_FILE", None)
    made_by: dict[str, Any] = {"date": date.today().isoformat()}
    runs = {}
    for block in phantom_commands(bundle):
        commands = [command for command in block if "inference.yaml" not in command]
        # bundles with the same phantoms share them
        folder = out / hashlib.sha256(commands[0].encode()).hexdigest()[:8]
        shutil.copytree(ROOT / "bundles" / bundle, folder / "bundles" / bundle, dirs_exist_ok=True)
        written = [folder / name for name in re.findall(r"--output_dir \.\./\.\./(\S+)", "\n".join(commands))]
        for run in written:
            shutil.rmtree(run, ignore_errors=True)
        subprocess.run(["bash", "-c", "\n".join(["set -e", *commands])], cwd=folder, env=environment, check=True)
        for run in written:
            record = json.loads((run / "run.json").read_text())
            made_by |= {key: record[key] for key in ("commit", "devices", "precision", "packages") if key in record}
            runs[run.name] = _scores(json.loads((run / "test" / "metrics.json").read_text()))
    return {"made_by": made_by, "runs": runs}


def _scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """The scores that are single numbers, rounded to six digits."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found[name] = _scores(value)
        elif isinstance(value, (int, float)):
            found[name] = float(f"{value:.6g}")
    return found
