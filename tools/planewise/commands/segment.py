"""`planewise segment`: the ventricles and the myocardium of an exam, their volumes and the ejection fraction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from planewise.errors import InputError


def segment(
    exam: Annotated[Path, typer.Argument(help="Folder of DICOM files, or a NIfTI volume of the short axis.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, one folder an exam in it.")],
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder, or a checkpoint. Default: what ships.", show_default=False),
    ] = None,
    bundles: Annotated[
        Path | None,
        typer.Option(help="Folder with the bundles. Default: that of the clone.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda:0. Default: a GPU if there is one.", show_default=False)
    ] = None,
) -> None:
    """Segment the short axis of a heart in every phase, and measure it.

    Writes, for every exam found, into OUT/EXAM/:

    index.html (open it: the stack and the heart at end-diastole, to turn and to scroll; one file, no network),
    volumes.json and volumes.csv (ml in every phase, ejection fractions, mass); and into OUT/masks/ a label map for
    each phase (1 right ventricle, 2 myocardium, 3 left ventricle) as NIfTI.

    End-diastole and end-systole are the phases in which the left ventricle is largest and smallest. Research software: not
    for clinical use.

    The same masks: python -m monai.bundle run --config_file configs/inference.yaml --phases all in
    bundles/downstream_cardiac_sax_segmentation.
    """
    console, problems = Console(), Console(stderr=True)
    try:
        with console.status("reading"):
            from planewise.own_exams import (
                segment_exams,
            )  # here: it imports MONAI, and --help should not wait

        with console.status("segmenting"):
            done = segment_exams(exam, output, weights=weights, bundles=bundles, device=device)
        for segmented in done:
            for line in segmented.lines:
                console.print(escape(line), soft_wrap=True, highlight=False)
            console.print(f"Wrote {escape(str(segmented.page))}", soft_wrap=True, highlight=False)
    except InputError as error:
        problems.print(f"[bold red]planewise segment:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from None
