"""`planewise segment`: the ventricles and the myocardium of an exam, their volumes and the ejection fraction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planewise.commands.own_exam import BundlesFolder, Device, ExamPath, OutputFolder, show_pages


def segment(
    exam: ExamPath,
    output: OutputFolder,
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder, or a checkpoint. Default: what ships.", show_default=False),
    ] = None,
    bundles: BundlesFolder = None,
    device: Device = None,
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

    def make():
        from planewise.own_exams import segment_exams  # here: it imports MONAI, and --help should not wait

        return segment_exams(exam, output, weights=weights, bundles=bundles, device=device)

    show_pages("segment", "segmenting", make)
