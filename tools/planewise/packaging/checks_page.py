"""Write a page with the results of all checks: a table of bundles and checks, and the reasons for failures and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

from planewise.packaging.checks.finding import Finding, Tier

#: Columns for single checks: heading of the column to the finding's name.
CHECKS = {
    "`verify_metadata`": "metadata",
    "`verify_net_in_out`": "network in inference.yaml",
    "`ckpt_export`": "TorchScript",
    "`onnx_export`": "ONNX",
}
_TIERS = {
    "zoo": "required by the Model Zoo's own checks",
    "unit": "required by the zoo's unit test of each bundle: names in the configs",
    "label": "required by MONAI Label",
    "ours": "our own requirements",
}
_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "onnx", "onnxruntime")


def checks_page(found: Mapping[str, Sequence[Finding]], command: str) -> str:
    """Write the page as Markdown.

    Args:
        found: name of each bundle to its findings from `check_bundle`.
        command: the command that writes the page, for its first line.

    Returns:
        Markdown. A cell is ``ok``, the number of its warnings, or ``FAIL``; the reasons are below the table.
    """
    head = ["bundle", *get_args(Tier), *CHECKS]
    rows = [[f"`{name}`", *cells(findings)] for name, findings in sorted(found.items())]
    table = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    tiers = [f"- **{tier}**: {_TIERS[tier]} ({_names(found, tier)})" for tier in get_args(Tier)]
    remarks: dict[str, list[str]] = {}
    for name, findings in sorted(found.items()):
        for finding in findings:
            if finding.status != "ok":
                remarks.setdefault(f"{finding.status}, {finding.name}: {finding.detail}", []).append(name)
    why = [f"- {text} ({_which(names, found)})" for text, names in remarks.items()]
    return "\n".join(
        [
            "# What the bundles pass",
            "",
            f"Written by `{command}`, with {_versions()}. Nothing here is written by hand.",
            "",
            *table,
            "",
            *tiers,
            "",
            *(["Why a cell is not `ok`:", "", *why] if why else ["Every check of every bundle is `ok`."]),
            "",
        ]
    )


def cells(findings: Sequence[Finding]) -> list[str]:
    """A bundle's row: one cell for each tier, then one for each of `CHECKS`."""
    tiers = [_cell([finding for finding in findings if finding.tier == tier]) for tier in get_args(Tier)]
    return tiers + [_cell([finding for finding in findings if finding.name == name]) for name in CHECKS.values()]


def _cell(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.status for finding in findings)
    if counts["FAIL"]:
        return "FAIL"
    if counts["warning"]:
        return f"{counts['warning']} warning{'s' if counts['warning'] > 1 else ''}"
    return "ok" if counts["ok"] else "not checked"


def _names(found: Mapping[str, Sequence[Finding]], tier: str) -> str:
    names = (finding.name for findings in found.values() for finding in findings if finding.tier == tier)
    return ", ".join(dict.fromkeys(names))


def _which(names: Sequence[str], found: Mapping[str, Sequence[Finding]]) -> str:
    return "all" if len(names) == len(found) > 1 else ", ".join(f"`{name}`" for name in names)


def _versions() -> str:
    """Versions of the packages that affect the result; those that are not installed are left out."""
    there = {}
    for name in _PACKAGES:
        try:
            there[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return ", ".join(f"{name} {number}" for name, number in there.items())
