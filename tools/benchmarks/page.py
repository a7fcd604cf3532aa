"""Render the checked-in results as Markdown: the generated block of tools/docs/speed.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN = "<!-- written by tools/benchmarks/run --only-page from tools/benchmarks/results; do not edit -->"
END = "<!-- end of what is written -->"


#: First line of the generated block of tools/docs/devices.md.
GPU_BEGIN = "<!-- written by tools/benchmarks/run --only-page from tools/benchmarks/results/h100.json; do not edit -->"
#: Number of training steps in the papers' schedules on the papers' data, as `training_cost.py` counts them. Bundles that are
#: not listed have no data of a known size.
SCHEDULES = {
    "pretext_cardiac_multitask": 16_000,
    "pretext_cardiac_orientation": 16_000,
    "pretext_cardiac_location": 16_000,
    "downstream_cardiac_sax_segmentation": 23_800,
    "downstream_brain_tumour_segmentation": 17_100,
    "pretext_masked_autoencoder": 16_000,
    "pretext_models_genesis": 16_000,
    "pretext_cardiac_sax_position": 50_000,
    "pretext_cardiac_lax_position": 50_000,
    "pretext_jigsaw": 16_000,
    "pretext_simclr": 10_000,
    "pretext_byol": 10_000,
}


#: Stands before the date and the commit in the note of a bar that is older than its group.
MEASURED = "; measured "


@dataclass(frozen=True)
class StepTime:
    """A bundle's training step on a GPU.

    Attributes:
        batch_size: number of slices or volumes in a step.
        milliseconds: time of a step of the trainer with all its handlers.
        earlier: when it was measured, if that was before the group's date.
    """

    batch_size: int
    milliseconds: float
    earlier: str = ""


def step_times(result: Path) -> dict[str, StepTime]:
    """The step times in a file of results, by bundle; bundles with changed settings are left out."""
    (steps,) = (group for group in json.loads(result.read_text())["groups"] if group["module"] == "steps")
    found = {}
    for bar in steps["bars"]:
        name, _, what = bar["name"].partition(": ")
        if what == "training step" and ", " not in name:
            size, _, earlier = bar["note"].partition(MEASURED)
            found[name] = StepTime(int(size.split()[1].rstrip(",")), bar["value"], earlier)
    return found


def gpu_table(result: Path) -> str:
    """A table of the schedules' times on a GPU, as Markdown."""
    found = json.loads(result.read_text())
    (steps,) = (group for group in found["groups"] if group["module"] == "steps")
    lines = [
        f"Training steps on one {found['machine']['gpus'][0]}, measured on {steps['date']} at commit {steps['commit']}:",
        "",
        "| bundle | batch | samples per second | schedule of `train.yaml` |",
        "|---|--:|--:|---|",
    ]
    for name, each in step_times(result).items():
        schedule, rate = f"steps of {each.milliseconds:.1f} ms", 1e3 * each.batch_size / each.milliseconds
        if steps := SCHEDULES.get(name):
            schedule = f"{steps:,} {schedule}: {steps * each.milliseconds / 60e3:.0f} minutes"
        if each.earlier:
            schedule += f" ({each.earlier})"
        lines.append(f"| `{name}` | {each.batch_size} | {rate:,.0f} | {schedule} |")
    return "\n".join([*lines, ""])


def render(page: str, results: Path) -> str:
    """A page's text with its marked block rendered again from all results in a folder.

    Raises:
        ValueError: the page has no block.
    """
    tables = [block(json.loads(path.read_text())) for path in sorted(results.glob("*.json"))]
    return with_block(page, BEGIN, "\n".join(tables) if tables else "Nothing has been measured yet.\n")


def with_block(page: str, begin: str, body: str) -> str:
    """A page's text with a new body between the mark ``begin`` and `END`.

    Raises:
        ValueError: the page has no such block.
    """
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(END)
    if not opened or not closed:
        raise ValueError(f"the page has no block between {begin!r} and {END!r}")
    return f"{before}{begin}\n\n{body}\n{END}{after}"


def block(found: Mapping[str, Any]) -> str:
    """The results of one machine as Markdown."""
    here = found["machine"]
    name = ", ".join([f"{here['processor']}, {here['cores']} cores", *here["gpus"]])
    lines = [f"### {name}", "", *(f"- {line}" for line in description(found)), ""]
    for group in found["groups"]:
        lines += [f"**{heading(group)}**", ""]
        if "error" in group:
            lines += [f"Could not be measured: {group['error']}.", ""]
        if group["bars"]:
            lines += [
                "| | limit | fastest | median | | |",
                "|---|--:|--:|--:|---|---|",
                *(_row(bar) for bar in group["bars"]),
                "",
            ]
    return "\n".join(lines)


def description(found: Mapping[str, Any]) -> list[str]:
    """Lines that describe the machine, the versions and the date of a measurement."""
    here = found["machine"]
    bfloat16 = "with" if here["native_bfloat16"] else "without"
    parts = [f"{here['processor']}, {here['cores']} cores", f"{bfloat16} bfloat16 instructions"]
    parts += [f"{here['memory_gib']} GiB", here["system"], *here["gpus"]]
    measured = sorted({f"{group['date']} at commit {group['commit']}" for group in found["groups"]})
    return [
        f"machine: {', '.join(parts)}",
        f"versions: {', '.join(f'{package} {version}' for package, version in found['versions'].items())}",
        f"measured: {', '.join(measured)}",
    ]


def heading(group: Mapping[str, Any]) -> str:
    """The heading of a group: module, device, threads, and whether the measurement was quick."""
    threads = f"{group['threads']} thread{'s' if group['threads'] > 1 else ''}"
    quick = ", quick: the numbers mean nothing" if group["quick"] else ""
    return f"{group['module'].replace('_', ' ')}: {group['device']}, {threads}{quick}"


def number(bar: Mapping[str, Any], key: str) -> str:
    """The value, median or limit of a bar as text with three digits and a unit."""
    value = bar[key]
    if value is None:
        return ""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = f"{digits} {bar['unit']}".strip()
    return f"≤ {text}" if key == "limit" else text


def verdict(bar: Mapping[str, Any]) -> str:
    """``pass`` or ``fail``; ``not measured`` if there is a limit but no value, and empty if there is no limit."""
    if bar["limit"] is not None and bar["value"] is None:
        return "not measured"
    return {True: "pass", False: "fail", None: ""}[bar["passed"]]


def _row(bar: Mapping[str, Any]) -> str:
    word = verdict(bar)
    numbers = [number(bar, key) for key in ("limit", "value", "median")]
    cells = [bar["name"], *numbers, f"**{word}**" if word == "fail" else word, bar["note"]]
    return "| " + " | ".join(re.sub(r"\s*\|\s*", " / ", cell) for cell in cells) + " |"
