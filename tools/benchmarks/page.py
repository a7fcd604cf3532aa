"""Checked-in results as Markdown: the block of tools/docs/speed.md that no one writes by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN = "<!-- written by tools/benchmarks/run --only-page from tools/benchmarks/results; do not edit -->"
END = "<!-- end of what is written -->"


def render(page: str, results: Path) -> str:
    """A page's text with its marked block made anew from all results of a folder.

    Raises:
        ValueError: the page has no block.
    """
    tables = [block(json.loads(path.read_text())) for path in sorted(results.glob("*.json"))]
    return with_block(page, BEGIN, END, "\n".join(tables) if tables else "Nothing has been measured yet.\n")


def with_block(page: str, begin: str, end: str, body: str) -> str:
    """A page's text with another body between two marks.

    Raises:
        ValueError: the page has no such block.
    """
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"the page has no block between {begin!r} and {end!r}")
    return f"{before}{begin}\n\n{body}\n{end}{after}"


def block(found: Mapping[str, Any]) -> str:
    """One machine's results."""
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
    """Lines that say what was measured on, with what, and when."""
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
    """Module, device and how it was measured."""
    threads = f"{group['threads']} thread{'s' if group['threads'] > 1 else ''}"
    quick = ", quick: the numbers mean nothing" if group["quick"] else ""
    return f"{group['module'].replace('_', ' ')}: {group['device']}, {threads}{quick}"


def number(bar: Mapping[str, Any], key: str) -> str:
    """The value, median or limit of a bar as text, three digits, with its unit."""
    value = bar[key]
    if value is None:
        return ""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    text = f"{digits} {bar['unit']}".strip()
    if key != "limit":
        return text
    return f">= {text}" if bar["at_least"] else f"<= {text}"


def verdict(bar: Mapping[str, Any]) -> str:
    """``pass`` or ``fail``; empty where nothing is promised."""
    if bar["limit"] is not None and bar["value"] is None:
        return "not measured"
    return {True: "pass", False: "fail", None: ""}[bar["passed"]]


def _row(bar: Mapping[str, Any]) -> str:
    limit = number(bar, "limit").replace("<=", "≤").replace(">=", "≥")
    word = verdict(bar)
    cells = [bar["name"], limit, number(bar, "value"), number(bar, "median"), f"**{word}**" if word == "fail" else word]
    return "| " + " | ".join(re.sub(r"\s*\|\s*", " / ", cell) for cell in [*cells, bar["note"]]) + " |"
