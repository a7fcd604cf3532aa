"""Processor time of the study that `tools/demo` runs, in ratio to an earlier build."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from timing import Bar, Options

from bars.own_exams import ROOT, against_before, unpacked

DEVICES = ("cpu",)
LIMIT = 0.6
STUDY = "tools/studies/configs/quick.yaml"
#: What tools/demo of the earlier build ran after it had installed.
SNAKEMAKE = [
    *("-m", "snakemake", "--snakefile", "tools/studies/label_efficiency.smk"),
    *("--cores", "2", "--quiet", "reason", "host", "--nolock"),
]


def measure(options: Options) -> list[Bar]:
    """Run both studies. Jobs may be forked from a server, so the time is what the whole machine has worked meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        # with --quick, only until the datalist of the labelled exams
        until = [f"{name}/now/labelled.json"] if options.quick else []
        now = _worked(ROOT, ["tools/demo"], Path(name, "now"), until)
        tree = None if options.quick else unpacked(Path(name, "tree"))
        before = _worked(tree, [sys.executable, *SNAKEMAKE], Path(name, "before"), []) if tree else None
    return [against_before("the quick study of tools/demo, processor time", now, before, "s", LIMIT)]


def _worked(tree: Path, command: list[str], output: Path, until: list[str]) -> float:
    """Seconds that the processors work while a build runs its study."""
    config = output.with_suffix(".yaml")
    config.write_text((tree / STUDY).read_text().replace("out: work/demo", f"out: {output}"))
    path = os.pathsep.join([str(tree / "tools"), str(Path(sys.executable).parent)])
    started = psutil.cpu_times()
    done = subprocess.run(
        [*command, *until, "--configfile", str(config)],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path},
        stdout=sys.stderr,
    )
    if done.returncode:
        raise RuntimeError(f"the study of {tree} ended with {done.returncode}")
    ended = psutil.cpu_times()
    return sum(getattr(ended, kind) - getattr(started, kind) for kind in ("user", "nice", "system"))
