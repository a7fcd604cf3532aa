"""`planewise segment`: segment the ventricles and the myocardium of an exam, or of every exam in a datalist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planewise.commands.own_exam import LOOK, Anonymous, MinObliquity, OutputFolder, show_pages
from planewise.commands.terminal import begin, literal, plain_table, progress_bar, refusals, say
from planewise.early_checks import EXAM, refuse_missing, refuse_unwritable
from planewise.findings import said
from planewise.words import as_sentence, count_of

#: The terminal shows at most this many of the bundle's remarks on exams.
_MOST_REMARKS = 10


def segment(
    exam: Annotated[
        Path,
        typer.Argument(
            help="Folder of DICOM files (one exam or many), a NIfTI volume or cine of the short axis, or a datalist (JSON)."
        ),
    ],
    output: OutputFolder,
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder, a checkpoint, or a copy of the bundle. Default: the weights that ship."),
    ] = None,
    min_obliquity: MinObliquity = None,
    per_series: Annotated[
        bool,
        typer.Option(
            "--per-series",
            help="Also write a DICOM segmentation of each image series with all its phases, for viewers that overlay a "
            "segmentation on one series only (OHIF).",
        ),
    ] = False,
    anonymous: Anonymous = False,
    view: Annotated[str, typer.Option(help="sax, or 4ch for masks of the 4-chamber views.")] = "sax",
) -> None:
    """Segment the short axis of a heart in every phase, and compute volumes.

    Writes into OUT/EXAM/, for every exam found:

    index.html (a page for the browser that shows the stack and the heart at end-diastole, to rotate, scroll and print;
    it works offline); volumes.json and volumes.csv (ml in every phase, stroke volumes, ejection fractions, mass; also per
    m2 of body surface if a DICOM header has height and weight). A DICOM exam also gets a DICOM SEG of end-diastole and
    end-systole, and volumes.sr.dcm, a DICOM structured report of the volumes. OUT/masks/ gets the image and a label map of
    each phase (1 right ventricle, 2 myocardium, 3 left ventricle), as NIfTI and for 3D Slicer (.seg.nrrd).

    The exams of a folder are processed one at a time. OUT/index.html then lists them, worst first, each linked to its
    page; OUT/exams.csv is the same table. If you start the command again, it continues where it stopped. An exam that cannot
    be used is left out, with the reason.

    To measure masks that you corrected, save them next to the network's as NAME_mask_corrected.nii.gz or
    NAME_corrected.seg.nrrd, and start the command again. The numbers that come from them are marked (*).

    End-diastole and end-systole are the phases in which the left ventricle is largest and smallest. Implausible numbers,
    and those computed from them, are marked (!), with the reason. Stacks that cannot be a short axis are refused. NIfTI files
    whose slices are exactly axial, coronal or sagittal may have lost their orientation (as in ACDC), so they are segmented,
    with all numbers marked. --min_obliquity 0 accepts all stacks without this mark. Research software: not for clinical use.

    For a DATALIST, the command segments every exam of every section, and writes into OUT:

    masks/ (label maps as above, with a picture of each), and datalist.json: the same exams in the same sections, with these
    masks as their labels, marked as predicted. Use it to train on hearts alone (--images segmented). Exams with a mask that
    is empty or cannot be a heart are listed with the reason, and have no masks in the datalist.

    With --view 4ch, the command segments the ventricles, the myocardium and the atria in the 4-chamber views instead.
    Without a short axis, no view is recognised: name the series' folder, and add --min_obliquity 0. It writes masks/ as
    above, with a picture of each, and areas.csv: cm2 of each structure in every phase.

    Exit code: 0 if at least one exam has results, 1 if none has or the folders cannot be used (the error stream says why),
    2 for a wrong option, 130 after Ctrl-C, 143 after kill.

    Example: planewise segment work/exams/study_1 -o work/volumes
    """
    if view != "sax":
        if anonymous or per_series or min_obliquity not in (None, 0):
            raise typer.BadParameter("with --view, leave out --anonymous, --per-series and any --min_obliquity but 0")
        _segment_view(exam, output, view, weights, min_obliquity == 0)
    elif exam.suffix == ".json":
        _segment_datalist(exam, output, weights, min_obliquity)
    else:

        def find():
            from planewise.own_exams import segmenting

            return segmenting(
                exam, weights=weights, min_obliquity=min_obliquity, per_series=per_series, anonymous=anonymous
            )

        show_pages("segment", "segmenting", exam, find, output, anonymous)


def _segment_view(exam: Path, output: Path, view: str, weights: Path | None, unrecognised: bool) -> None:
    console = Console()
    with refusals("segment"):
        refuse_missing(exam, EXAM)
        refuse_unwritable(output.expanduser().absolute())
        begin(f"Looking for {view} views")
        from planewise.own_exams.segment_view import segment_view

        done = segment_view(exam, output, view, weights=weights, unrecognised=unrecognised)
    for line in (*done.said, f"{count_of(done.images, 'image')} segmented", f"Wrote {done.table} and {done.masks}"):
        say(console, line)
    say(console, str(done.note))
    console.print(LOOK, soft_wrap=True)


def _segment_datalist(datalist: Path, output: Path, weights: Path | None, min_obliquity: float | None) -> None:
    console = Console()
    with refusals("segment"):
        refuse_missing(datalist, EXAM)
        refuse_unwritable(output.expanduser().absolute())
        begin(f"Reading {datalist}")
        from planewise.own_exams import segment_datalist

        with progress_bar("segmenting") as progress:
            done = segment_datalist(datalist, output, weights=weights, min_obliquity=min_obliquity, progress=progress)
    for found in done.findings[:_MOST_REMARKS]:
        say(console, as_sentence(str(found)))
    if len(done.findings) > _MOST_REMARKS:
        console.print(f"... and {count_of(len(done.findings) - _MOST_REMARKS, 'remark')} more.")
    if done.left_out:
        table = plain_table("exams without a mask", ["exam"], texts=["why"])
        for exam, why in done.left_out.items():
            table.add_row(exam, literal(said(why)))
        console.print(table)
    earlier = f", {done.kept} of them by an earlier run" if done.kept else ""
    console.print(
        f"{count_of(done.images, 'image')} segmented{earlier}. {count_of(done.exams, 'exam')} with masks, "
        f"{len(done.left_out)} without."
    )
    say(console, done.note)
    console.print(f"Look at the pictures in {literal(str(done.masks))} before you train on them.", soft_wrap=True)
    console.print(f"Wrote {literal(str(done.datalist))}. It contains paths: keep it on this machine.", soft_wrap=True)
