"""Processor time until a command on an exam can begin: its imports, with and without the packages that it seldom uses."""

from __future__ import annotations

import subprocess
import sys

from timing import Bar, Options, cost_of

DEVICES = ("cpu",)
_LIGHT = "from planewise.light_imports import light_imports\nwith light_imports(): import planewise.own_exams"
PROGRAMS = {"ours": _LIGHT, "all": "import planewise.own_exams", "torch": "import torch"}


def measure(options: Options) -> list[Bar]:
    """Compare the imports of `planewise plan` with those of its package and of PyTorch alone. New processes take turns."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(options.fewer(3).repetitions):
        for name, program in PROGRAMS.items():
            times[name].append(cost_of(subprocess.Popen([sys.executable, "-c", program]))[0])
    least = {name: min(each) for name, each in times.items()}
    note = f"ours {least['ours']:.2f} s, theirs {least['all']:.2f} s of processor time"
    return [
        Bar("imports of plan / importing planewise.own_exams", least["ours"] / least["all"], limit=0.7, note=note),
        Bar("imports of plan / importing torch", least["ours"] / least["torch"]),
    ]
