"""`planewise check`: find the parts of a bundle that would fail in the Model Zoo or in MONAI Label."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import literal, refusals
from planewise.errors import InputError

if TYPE_CHECKING:
    from planewise.packaging import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "FAIL": "bold red"}


def check(
    bundles: Annotated[
        list[str],
        typer.Argument(
            help="Folders of bundles: bundles/NAME, or packaged; zips are ignored. After --: a command line of "
            "`monai.bundle run`, whose overrides are compared with the configs.",
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder, or a checkpoint. Default: the bundle's own models/model.pt.", show_default=False
        ),
    ] = None,
) -> None:
    """Check bundles line by line, with MONAI's own verifiers if they exist. Exit code 1 if a line says FAIL.

    The checks cover files, metadata and its schema, versions, names that MONAI and MONAI Label look for, the network at
    two sizes, weights, TorchScript, ONNX, inference in MONAI Label's order, and documented commands. The command
    changes nothing in a bundle and uses no network connection.

    Example: planewise check bundles/pretext_cardiac_multitask -- --config_file configs/train.yaml --sigmaa 3

    Example: planewise check dist/*
    """
    console = Console(highlight=False)
    # typer passes the arguments after -- together with those before it
    folders = [Path(name) for name in itertools.takewhile(lambda text: not text.startswith("--"), bundles)]
    overrides = bundles[len(folders) :]
    folders = [folder for folder in folders if folder.suffix != ".zip"]
    findings: list[Finding] = []
    with refusals("check"):
        if not folders:
            raise InputError(
                f"{bundles[0]} is not a folder, so there is nothing to check; unzip it and name its folder"
            )
        if len(folders) != 1 and (weights or overrides):
            raise InputError("--weights and overrides belong to one bundle; name only one")
        for folder in folders:
            if len(folders) > 1:
                console.print(f"[bold]{literal(str(folder))}[/]")
            findings += _check(console, folder, weights, overrides)
    if any(finding.status == "FAIL" for finding in findings):
        raise typer.Exit(1)


def _check(console: Console, folder: Path, weights: Path | None, overrides: Sequence[str]) -> list[Finding]:
    """Check one bundle, print each line as soon as it is known, and count the lines of each kind."""
    from planewise.packaging import check_bundle  # imported late, so that --help does not wait for MONAI

    findings = []
    for finding in check_bundle(folder, weights, overrides):
        findings.append(finding)
        detail = f": {literal(finding.detail)}" if finding.detail else ""
        colour = _COLOURS[finding.status]
        console.print(f"[{colour}]{finding.status:7}[/] {literal(finding.name)}{detail}", soft_wrap=True)
    counts = Counter(finding.status for finding in findings)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return findings
