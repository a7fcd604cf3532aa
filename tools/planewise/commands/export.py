"""`planewise export`: export the labelled volumes of a datalist to the folders of nnU-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import progress_bar, refusals, say


def export(
    datalist: Annotated[Path, typer.Argument(help="Datalist with masks, from `planewise index`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write, named as nnU-Net requires: Dataset101_Heart.")
    ],
    structures: Annotated[
        str | None,
        typer.Option(
            help="Names of the masks' values 1, 2, ..., separated by commas. Default: RV,myocardium,LV in the short "
            "axis, numbers elsewhere."
        ),
    ] = None,
) -> None:
    """Write the labelled volumes of a datalist to the folders of nnU-Net (version 2).

    The training and validation sections become imagesTr and labelsTr, and the test section becomes imagesTs and
    labelsTs. The split is written to splits_final.json, so that nnU-Net trains and validates on the same exams;
    `planewise index` reads it, too. Cases are named by hashes.

    Example: planewise export work/labelled.json -o work/nnUNet_raw/Dataset101_Heart
    """
    console = Console()
    with refusals("export"):
        # imported late, so that --help does not wait for MONAI
        from planewise.data.nnunet import export_nnunet
        from planewise.engines.quiet import keep_quiet

        keep_quiet()

        names = tuple(name.strip() for name in (structures or "").split(",") if name.strip())
        with progress_bar("exporting") as progress:
            done = export_nnunet(datalist, output, names, progress)
    for exam, why in done.left_out.items():
        say(console, f"Exam {exam} is left out: {why}.")
    counts = ", ".join(f"{section} {count}" for section, count in done.counts.items())
    say(console, f"Wrote {done.folder}: {counts} volumes.")
    if done.splits is not None:
        say(
            console,
            f"After `nnUNetv2_plan_and_preprocess`, copy {done.splits.name} to nnUNet_preprocessed/{done.folder.name}, and "
            "train fold 0.",
        )
