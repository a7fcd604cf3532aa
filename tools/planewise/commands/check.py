"""`planewise check`: what of a bundle would fail in the Model Zoo or in MONAI Label."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from planewise.errors import InputError

_COLOURS = {"ok": "green", "warning": "yellow", "FAIL": "bold red"}


def check(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle: bundles/NAME, or packaged.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="After --: overrides as for `monai.bundle run`, to be warned of those that no config takes."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A run's folder, or a checkpoint. Default: the bundle's own models/model.pt.", show_default=False
        ),
    ] = None,
) -> None:
    """Check a bundle line by line, with MONAI's own verifiers where there are any. Exit code 1 if a line says FAIL.

    Files, metadata and its schema, versions, names that MONAI and MONAI Label look for, the network at two sizes, weights,
    TorchScript, inference in MONAI Label's order, documented commands. Nothing is changed, no network is used.

    Example: planewise check bundles/pretext_cardiac_multitask -- --config_file configs/train.yaml --sigmaa 3
    """
    console = Console(highlight=False)
    counts: Counter[str] = Counter()
    try:
        from planewise.packaging import check_bundle  # here: it imports MONAI, and --help should not wait

        for finding in check_bundle(bundle, weights, overrides or ()):
            counts[finding.status] += 1
            detail = f": {escape(finding.detail)}" if finding.detail else ""
            colour = _COLOURS[finding.status]
            console.print(f"[{colour}]{finding.status:7}[/] {escape(finding.name)}{detail}", soft_wrap=True)
    except InputError as error:
        Console(stderr=True).print(f"[bold red]planewise check:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if counts["FAIL"]:
        raise typer.Exit(1)
