"""`planewise plan`: plan the other views from an exam's short axis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planewise.commands.own_exam import Anonymous, ExamPath, MinObliquity, OutputFolder, show_pages


def plan(
    exam: ExamPath,
    output: OutputFolder,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A planning run's folder, a checkpoint, or a copy of the bundle. Default: the weights that ship."
        ),
    ] = None,
    min_obliquity: MinObliquity = None,
    anonymous: Anonymous = False,
) -> None:
    """Plan the 2-chamber and 4-chamber views of a heart from its short axis alone, and show them.

    Writes into OUT/EXAM/, for every exam found:

    index.html (a page for the browser that shows the stack, the planes and the heart, to rotate, scroll and print; it
    works offline); plan.json, planes.mrk.json (for 3D Slicer) and plan.png; the image, lines, heatmaps and masks as NIfTI
    files. A DICOM exam also gets plan.sr.dcm, a DICOM structured report of the planes and their distances from the acquired
    views.

    The exams of a folder are processed one at a time. OUT/index.html then lists them, worst first, each linked to its
    page; OUT/exams.csv is the same table. If you start the command again, it continues where it stopped. An exam that cannot
    be used is left out, with the reason.

    The planes are weighted means over at most eight phases of a cine; end-diastole counts twice. If the exam contains
    2-chamber and 4-chamber views, the page compares the plan with them. With the weights that ship, every plane has 90 %
    error bounds, measured on phantoms. If a plan cannot be trusted, you get "no plane" and the reason. Stacks that cannot
    be a short axis are refused; if a file's header has lost its orientation, use --min_obliquity 0. Research software: not
    for clinical use.

    Exit code: 0 if at least one exam has results, 1 if none has or the folders cannot be used (the error stream says why),
    2 for a wrong option, 130 after Ctrl-C, 143 after kill.

    Example: planewise plan work/exams/study_1 -o work/plans
    """

    def find():
        from planewise.own_exams import planning

        return planning(exam, weights=weights, min_obliquity=min_obliquity, anonymous=anonymous)

    show_pages("plan", "planning", exam, find, output, anonymous)
