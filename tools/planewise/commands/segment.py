"""`planewise segment`: segment the ventricles and the myocardium of an exam, or of every exam in a datalist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from planewise.commands.own_exam import (
    Anonymous,
    BundlesFolder,
    Device,
    Dicom,
    KeepNames,
    MinObliquity,
    OutputFolder,
    show_pages,
)
from planewise.commands.terminal import begin, literal, plain_table, progress_bar, refusals, say
from planewise.early_checks import EXAM, refuse_missing, refuse_unwritable
from planewise.findings import said
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.words import as_sentence, count_of

if TYPE_CHECKING:
    from planewise.own_exams import SegmentedDatalist

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
        typer.Option(help="A run's folder, or a checkpoint. Default: the weights that ship.", show_default=False),
    ] = None,
    min_obliquity: MinObliquity = None,
    keep_names: KeepNames = False,
    dicom: Dicom = None,
    all_phases: Annotated[
        bool,
        typer.Option(
            "--all-phases", help="Write a DICOM segmentation of every phase, not only of end-diastole and end-systole."
        ),
    ] = False,
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
    bundles: BundlesFolder = None,
    device: Device = None,
) -> None:
    """Segment the short axis of a heart in every phase, and compute volumes.

    Writes, for every exam found, into OUT/EXAM/:

    index.html (a page for the browser that shows the stack and the heart at end-diastole, to rotate, scroll and print;
    it works offline); volumes.json and volumes.csv (ml in every
    phase, stroke volumes, ejection fractions, mass; also each of these per m2 of body surface if a DICOM header has
    height and weight). A DICOM exam also gets a DICOM SEG of end-diastole and end-systole, and volumes.sr.dcm, a DICOM
    structured report of the volumes. OUT/masks/ gets the image and a label map of each phase (1 right ventricle, 2
    myocardium, 3 left ventricle), as NIfTI and for 3D Slicer (.seg.nrrd).

    The exams of a folder are processed one at a time. OUT/index.html then lists them, worst first, each linked to its
    page; OUT/exams.csv is the same table. If you start the command again, it continues: it keeps an exam if
    its files, its masks, the weights, the options and planewise's version did not change. An exam that cannot be used is
    left out, with the reason.

    To measure masks that you corrected, save them next to the network's as NAME_mask_corrected.nii.gz or
    NAME_corrected.seg.nrrd, and start the command again. The numbers that come from them are marked (*).

    End-diastole and end-systole are the phases in which the left ventricle is largest and smallest. Implausible numbers
    are marked (!), with the reason: left and right stroke volumes that differ, volumes that no adult has, a ventricle
    that is missing in some slices, a volume curve with jumps, a ventricle that fills before end-systole, few phases, a
    slice on which much of the ejection fraction rests. Numbers computed from marked ones are marked, too. Stacks
    that cannot be a short axis are refused, as in `planewise plan`, with one exception: NIfTI files whose slices are
    exactly axial, coronal or sagittal may have lost their orientation (as in ACDC), so they are segmented, with all
    numbers marked. --min_obliquity 0 accepts all stacks without this mark. Research software: not for clinical use.

    For a DATALIST, the command segments every exam of every section, and writes into OUT:

    masks/ (label maps as above, with a picture of each to look at), and datalist.json: the same exams in the same
    sections, with these masks as their labels, marked as predicted. Use this datalist to train on hearts alone
    (--images segmented). Exams that cannot be a short axis (as above), and exams with a mask that is empty or cannot be a
    heart, are listed with the reason, and have no masks in the datalist. If you start the command again, it continues
    where it stopped.

    With --view 4ch, the command segments the ventricles, the myocardium and the atria in the 4-chamber views instead.
    Without a short axis, no view is recognised: name the series' folder, and add --min_obliquity 0. It writes masks/ as
    above, with a picture of each, and areas.csv: cm2 of each structure in every phase. There are no DICOM files and no
    flags.

    Exit code: 0 if at least one exam has results (OUT/exams.csv also lists exams that are left out), 1 if none has or
    the folders cannot be used (the error stream says why), 2 for a wrong option, 130 after Ctrl-C, 143 after kill.

    To get the same masks from the bundle itself: python -m monai.bundle run --config_file configs/inference.yaml
    --phases all (for a datalist with --section all) in bundles/downstream_cardiac_sax_segmentation.

    Example: planewise segment work/exams/study_1 -o work/volumes
    """
    if view != "sax":
        if anonymous or per_series or all_phases or dicom is not None or min_obliquity not in (None, 0):
            raise typer.BadParameter(
                "with --view, leave out --anonymous, --per-series, --all-phases, --dicom and any --min_obliquity but 0"
            )
        _segment_view(exam, output, view, weights, keep_names, min_obliquity == 0, bundles, device)
        return
    if exam.suffix == ".json":
        _segment_datalist(exam, output, weights, min_obliquity, bundles, device)
        return

    def find():
        from planewise.own_exams import segmenting

        return segmenting(
            exam,
            weights=weights,
            min_obliquity=min_obliquity,
            keep_names=keep_names,
            dicom=dicom,
            all_phases=all_phases,
            per_series=per_series,
            anonymous=anonymous,
            bundles=bundles,
            device=device,
        )

    show_pages("segment", "segmenting", exam, find, output, anonymous)


def _segment_view(
    exam: Path,
    output: Path,
    view: str,
    weights: Path | None,
    keep_names: bool,
    unrecognised: bool,
    bundles: Path | None,
    device: str | None,
) -> None:
    console = Console()
    with refusals("segment"):
        refuse_missing(exam, EXAM)
        refuse_unwritable(output.expanduser().absolute())
        begin(f"Looking for {view} views")
        from planewise.own_exams.segment_view import segment_view

        done = segment_view(
            exam,
            output,
            view,
            weights=weights,
            keep_names=keep_names,
            unrecognised=unrecognised,
            bundles=bundles,
            device=device,
        )
    for line in (*done.said, f"{count_of(done.images, 'image')} segmented", f"Wrote {done.table} and {done.masks}"):
        say(console, line)
    say(console, str(done.note))
    console.print(f"Look at the pictures before you trust a number. {RESEARCH_ONLY}", soft_wrap=True)


def _segment_datalist(
    datalist: Path,
    output: Path,
    weights: Path | None,
    min_obliquity: float | None,
    bundles: Path | None,
    device: str | None,
) -> None:
    console = Console()
    with refusals("segment"):
        refuse_missing(datalist, EXAM)
        refuse_unwritable(output.expanduser().absolute())
        begin(f"Reading {datalist}")
        from planewise.own_exams import segment_datalist

        with progress_bar("segmenting") as progress:
            done = segment_datalist(
                datalist,
                output,
                weights=weights,
                min_obliquity=min_obliquity,
                bundles=bundles,
                device=device,
                progress=progress,
            )
    _print(done, console)


def _print(done: SegmentedDatalist, console: Console) -> None:
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
