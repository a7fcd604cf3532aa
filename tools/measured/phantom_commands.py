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
    """The commands of each block of a bundle's README that writes phantoms, with continuation lines joined."""
    text = (ROOT / "bundles" / bundle / "docs/README.md").read_text()
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```bash\n(.*?)```", text, re.S)]
    return [[line for line in block.splitlines() if line.strip()] for block in blocks if "planewise phantom" in block]


def measure(bundle: str, out: Path) -> dict[str, Any]:
    """Run a bundle's phantom commands, except those for inference, and collect the scores on the test sections.

    Args:
        bundle: name of the bundle.
        out: folder for phantoms and runs; phantoms that are already there are kept, and runs are made again.

    Returns:
        The record: ``made_by``, and under ``runs`` the scores of each run by the name of its folder.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PLANEWISE_CACHE": str(out / "cache"), "OMP_NUM_THREADS": "1"} | os.environ | {"PATH": path}
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


def as_text(record: dict[str, Any]) -> str:
    """A record as JSON with a line for each run."""
    runs = ",\n".join(f"{json.dumps(name)}: {json.dumps(scores)}" for name, scores in record["runs"].items())
    return f'{{\n"made_by": {json.dumps(record["made_by"])},\n"runs": {{\n{runs}\n}}\n}}\n'


def _scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """The scores that are single numbers, rounded to six digits."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found[name] = _scores(value)
        elif isinstance(value, (int, float)):
            found[name] = float(f"{value:.6g}")
    return found
