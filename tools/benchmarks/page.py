"""Render the checked-in results as Markdown: the generated block of tools/docs/speed.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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


def gpu_table(result: Path) -> str:
    """A table of the schedules' times on a GPU, as Markdown; bundles with changed settings are left out."""
    found = json.loads(result.read_text())
    (steps,) = (group for group in found["groups"] if group["module"] == "steps")
    lines = [
        f"Training steps on one {found['machine']['gpus'][0]}, measured on {steps['date']} at commit {steps['commit']}:",
        "",
        "| bundle | batch | samples per second | schedule of `train.yaml` |",
        "|---|--:|--:|---|",
    ]
    for bar in steps["bars"]:
        name, _, what = bar["name"].partition(": ")
        if what != "training step" or ", " in name:
            continue
        size, _, earlier = bar["note"].partition(MEASURED)
        batch, milliseconds = int(size.split()[1].rstrip(",")), bar["value"]
        schedule = f"steps of {milliseconds:.1f} ms"
        if count := SCHEDULES.get(name):
            schedule = f"{count:,} {schedule}: {count * milliseconds / 60e3:.0f} minutes"
        if earlier:
            schedule += f" ({earlier})"
        lines.append(f"| `{name}` | {batch} | {1e3 * batch / milliseconds:,.0f} | {schedule} |")
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
    name = f"{here['processor']}, {here['cores']} cores"
    bfloat16 = f"{'with' if here['native_bfloat16'] else 'without'} bfloat16 instructions"
    parts = [name, bfloat16, f"{here['memory_gib']} GiB", here["system"], *here["gpus"]]
    measured = sorted({f"{group['date']} at commit {group['commit']}" for group in found["groups"]})
    lines = [
        f"### {', '.join([name, *here['gpus']])}\n",
        f"- machine: {', '.join(parts)}",
        f"- versions: {', '.join(f'{package} {version}' for package, version in found['versions'].items())}",
        f"- measured: {', '.join(measured)}\n",
    ]
    for group in found["groups"]:
        threads = f"{group['threads']} thread{'s' if group['threads'] > 1 else ''}"
        quick = ", quick: the numbers mean nothing" if group["quick"] else ""
        lines.append(f"**{group['module'].replace('_', ' ')}: {group['device']}, {threads}{quick}**\n")
        if "error" in group:
            lines.append(f"Could not be measured: {group['error']}.\n")
        if group["bars"]:
            head = ["| | limit | fastest | median | | |", "|---|--:|--:|--:|---|---|"]
            lines += [*head, *map(_row, group["bars"]), ""]
    return "\n".join(lines)


def _row(bar: Mapping[str, Any]) -> str:
    """A bar as a row. A limit without a value was not measured."""
    word = {True: "pass", False: "**fail**", None: "" if bar["limit"] is None else "not measured"}[bar["passed"]]
    cells = [bar["name"], *(_number(bar, key) for key in ("limit", "value", "median")), word, bar["note"]]
    return "| " + " | ".join(re.sub(r"\s*\|\s*", " / ", cell) for cell in cells) + " |"


def _number(bar: Mapping[str, Any], key: str) -> str:
    """The value, median or limit of a bar as text with three digits and a unit."""
    value = bar[key]
    if value is None:
        return ""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = f"{digits} {bar['unit']}".strip()
    return f"≤ {text}" if key == "limit" else text
