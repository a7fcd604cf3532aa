"""`planewise plan`: the planes of the other views from the short axis of an exam."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import planewise
from planewise.commands.own_exam import (
    BundlesFolder,
    Device,
    ExamPath,
    KeepNames,
    MinObliquity,
    OutputFolder,
    show_pages,
)


def plan(
    exam: ExamPath,
    output: OutputFolder,
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder, or a checkpoint, that plans. Default: what ships.", show_default=False),
    ] = None,
    heart: Annotated[
        Path | None,
        typer.Option(help="The same for the heart that the page shows. Default: what ships.", show_default=False),
    ] = None,
    min_obliquity: MinObliquity = None,
    keep_names: KeepNames = False,
    bundles: BundlesFolder = None,
    device: Device = None,
) -> None:
    """Plan the 2-chamber and 4-chamber views of a heart from its short axis alone, and show them.

    Writes, for every exam found, into OUT/EXAM/:

    index.html (open it: the stack, the planes and the heart, to turn and to scroll; one file, no network),
    plan.json, planes.mrk.json (for 3D Slicer), plan.png, and the lines, heatmaps and masks as NIfTI files.

    Where the exam has those views, the page says how far the plan is from them. With the weights that ship, every plane has
    bounds that 9 of 10 such planes kept on phantoms. Slices that disagree with a plane are named. A plan that is not to be
    trusted is "no plane", with the reason. What cannot be a short axis is refused: slices that lie along the body or far from
    the heart's long axis, and DICOM files that are not recognised; if a file's header has lost its orientation, give
    --min_obliquity 0. Research software: not for clinical use.

    The same numbers: python -m monai.bundle run --config_file configs/inference.yaml in bundles/pretext_cardiac_multitask.

    Example: planewise plan work/exams/study_1 -o work/plans
    """

    def make():
        return planewise.plan(
            exam,
            output,
            weights=weights,
            heart=heart,
            min_obliquity=min_obliquity,
            keep_names=keep_names,
            bundles=bundles,
            device=device,
        )

    show_pages("plan", "planning", make)
