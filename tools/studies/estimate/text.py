"""Write the estimate of a study as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tools.studies.estimate.cost import Cost, Rates, wall_seconds
from tools.studies.estimate.plan import SECTIONS

#: Marks around the table in tools/docs/studies.md.
BEGIN = (
    "<!-- written by python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --gpus 1,8,64 "
    "--page tools/docs/studies.md; do not edit -->"
)
END = "<!-- end of what is written -->"


def page_block(lines: Sequence[str]) -> str:
    """The table of a `report` and the times on several numbers of GPUs, for a page."""
    first = next(number for number, line in enumerate(lines) if "s/step" in line)
    last = next(number for number, line in enumerate(lines) if line.startswith("all trainings"))
    shown = [*lines[first : last + 1], "", *(line for line in lines if line.startswith("on "))]
    return "\n".join(["```", *shown, "```", ""])


def report(
    costs: Sequence[Cost],
    counts: Mapping[str, int],
    data: Mapping[str, Mapping[str, Any]],
    rates: Rates,
    device: str,
    gpus: Sequence[int],
) -> list[str]:
    """The estimate as lines of text."""
    unit = "CPU" if rates.slice and device == "cpu" else "GPU"
    lines = ["jobs of Snakemake's dry run: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    for kind, found in data.items():
        sizes = "; ".join(
            f"{name} {found[name].exams} exams, {found[name].slices} {found['unit']}" for name in SECTIONS
        )
        lines.append(f"{kind} data, {found['source']}: {sizes}")
    rows: dict[tuple[str, int | None], list[Cost]] = {}
    for entry in costs:
        rows.setdefault((entry.job.trained, entry.job.exams), []).append(entry)
    named = {}
    for (trained, exams), entries in sorted(
        rows.items(), key=lambda row: (row[1][0].job.kind != "pretrain", row[0][1] or 0, row[0][0])
    ):
        name = trained.replace(".yaml", "") + (f", {exams} exam{'s' if exams > 1 else ''}" if exams else "")
        named[name] = entries
    width = max(map(len, named)) + 2
    lines += ["", f"{'':{width}}{'jobs':>5}{'steps':>9}{'s/step':>9}{'training':>10}{'scoring':>9}{'hours':>8}"]
    for name, entries in named.items():
        steps = sum(entry.work.steps for entry in entries)
        step = entries[0].slice * entries[0].work.step_slices
        hours = [sum(getattr(entry, part) for entry in entries) / 3600 for part in ("training", "watching", "seconds")]
        lines.append(
            f"{name:{width}}{len(entries):>5}{steps:>9}{step:>9.3f}{hours[0]:>10.1f}{hours[1]:>9.1f}{hours[2]:>8.1f}"
        )
    total = sum(entry.seconds for entry in costs) / 3600
    steps = sum(entry.work.steps for entry in costs)
    lines += [f"{'all trainings':{width}}{len(costs):>5}{steps:>9}{'':28}{total:>8.1f} {unit} hours", ""]
    where = f"this {'CPU' if device == 'cpu' else torch.cuda.get_device_name(device)}"
    if device == "cpu":
        where += f" ({torch.get_num_threads()} threads)"
    meaning = {
        "timed": f"timed on {where}: training steps of the bundle's own trainer at the study's size",
        "given": "seconds of a step as given by --seconds-per-step",
        "counted": f"calculated, not measured: operations of the network, counted, at {rates.tflops:g} TFLOP/s (--tflops)",
    }
    sources = Counter(entry.source for entry in costs)
    lines += [f"{count} of {len(costs)} {meaning[source]}" for source, count in sources.items()]
    lines.append(
        f"scoring is validation and the final evaluation, at the forward pass's share of a step's operations; each job has "
        f"{rates.start:g} s to start and end (--start). Not included: preprocessing, once, and jobs that do not train"
    )
    most = max(entry.job.processes for entry in costs)
    for number in gpus:
        if number < most:
            lines.append(f"on {number}: not possible, because a job needs {most} (`processes`)")
            continue
        wall, chain = (seconds / 3600 for seconds in wall_seconds(costs, number))
        devices = f"{number} {'GPU' if unit == 'GPU' else 'such machine'}{'s' if number > 1 else ''}"
        lines.append(f"on {devices}: {wall:.1f} hours; at least {chain:.1f} hours on any number of them")
    if rates.slice:
        timings = {
            entry.job.trained: entry.slice * entry.work.step_slices for entry in costs if entry.source == "timed"
        }
        again = " ".join(f"--seconds-per-step {bundle}={seconds:.4g}" for bundle, seconds in timings.items())
        lines += ["", f"to repeat this without timing: {again}"]
    return lines
