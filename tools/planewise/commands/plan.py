"""`planewise plan`: the planes of the other views from the short axis of an exam."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from planewise.errors import InputError


def plan(
    exam: Annotated[Path, typer.Argument(help="Folder of DICOM files, or a NIfTI volume of the short axis.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, one folder an exam in it.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder, or a checkpoint, that plans. Default: what ships.", show_default=False),
    ] = None,
    heart: Annotated[
        Path | None,
        typer.Option(help="The same for the heart that the page shows. Default: what ships.", show_default=False),
    ] = None,
    bundles: Annotated[
        Path | None,
        typer.Option(help="Folder with the bundles. Default: that of the clone.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda:0. Default: a GPU if there is one.", show_default=False)
    ] = None,
) -> None:
    """Plan the 2-chamber and 4-chamber views of a heart from its short axis alone, and show them.

    Writes, for every exam found, into OUT/EXAM/:

    index.html (open it: the stack, the planes and the heart, to turn and to scroll; one file, no network),
    plan.json, planes.mrk.json (for 3D Slicer), plan.png, and the lines, heatmaps and masks as NIfTI files.

    Where the exam has those views, the page says how far the plan is from them. A plan that is not to be trusted is
    "no plane", with the reason. Research software: not for clinical use.

    The same numbers: python -m monai.bundle run --config_file configs/inference.yaml in bundles/pretext_cardiac_multitask.
    """
    console, problems = Console(), Console(stderr=True)
    try:
        with console.status("reading"):
            from planewise.own_exams import plan_exams  # here: it imports MONAI, and --help should not wait

        with console.status("planning"):
            done = plan_exams(exam, output, weights=weights, heart=heart, bundles=bundles, device=device)
        for planned in done:
            for line in planned.lines:
                console.print(escape(line), soft_wrap=True, highlight=False)
            console.print(f"Wrote {escape(str(planned.page))}", soft_wrap=True, highlight=False)
    except InputError as error:
        problems.print(f"[bold red]planewise plan:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
