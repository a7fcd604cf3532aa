"""`planewise plan` and `segment`: plan the other views from an exam's short axis, and segment the heart."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from planewise.commands.terminal import begin, print_table, progress_bar, refusals, say
from planewise.errors import EXAM, refuse_missing, refuse_unwritable
from planewise.findings import said
from planewise.light_imports import light_imports
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.words import count_of

if TYPE_CHECKING:
    from planewise.own_exams.archive import ExamWork, MadePage

ExamPath = Annotated[
    Path, typer.Argument(help="Folder of DICOM files (one exam or many), or a NIfTI volume or cine of the short axis.")
]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, with one folder per exam.")]
MinObliquity = Annotated[
    float | None,
    # the option has the same name as in the bundle, because error messages of both mention it
    typer.Option(
        "--min_obliquity",
        min=0,
        help="Refuse stacks within this angle of axial, coronal or sagittal, degrees, and stacks that are not "
        "recognised as a short axis; 0 accepts all. Default: the bundle's value.",
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous", help="Leave the patient's name, dates and all other text out of the DICOM files. The UIDs stay."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A run's folder, a checkpoint, or a copy of the bundle; segment also takes a bundle of MONAI's Model Zoo. "
        "Default: the weights that ship."
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        min=1,
        help="Work on this many exams of a folder at a time, each in a process of its own that needs up to 0.8 GB of memory "
        "(Linux only). An archive is fastest with one per core. A single exam ignores it and uses all cores.",
    ),
]
#: What the commands say last.
_LOOK = f"Look at the pictures before you trust a number. {RESEARCH_ONLY}"


def plan(
    exam: ExamPath,
    output: OutputFolder,
    weights: Weights = None,
    min_obliquity: MinObliquity = None,
    anonymous: Anonymous = False,
    jobs: Jobs = 1,
) -> None:
    """Plan the 2-chamber and 4-chamber views of a heart from its short axis alone, and show them.

    Writes into OUT/EXAM/, for every exam found: index.html (a page that shows the stack, the planes and the heart, to
    rotate, scroll and print; it works offline); plan.json and planes.mrk.json (for 3D Slicer); the image, lines,
    heatmaps and masks as NIfTI files. A DICOM exam also gets plan.sr.dcm, a structured report of the planes and their
    distances from the acquired views.

    The exams of a folder are processed one at a time, or --jobs at a time. OUT/index.html and OUT/exams.csv list them, worst
    first. If you start the command again, it continues where it stopped. An exam that cannot be used is left out, with the
    reason.

    The planes are weighted means over at most eight phases of a cine; end-diastole counts twice. If the exam contains
    2-chamber and 4-chamber views, the page compares the plan with them. With the weights that ship, every plane has 90 %
    error bounds, measured on phantoms. If a plan cannot be trusted, you get "no plane" and the reason. Stacks that cannot
    be a short axis are refused; if a file's header has lost its orientation, use --min_obliquity 0. Research software: not
    for clinical use.

    Example: planewise plan work/exams/study_1 -o work/plans
    """
    options = {"weights": weights, "min_obliquity": min_obliquity, "anonymous": anonymous}
    show_pages("plan", "planning", exam, output, jobs, **options)


def segment(
    exam: Annotated[
        Path,
        typer.Argument(
            help="Folder of DICOM files (one exam or many), a NIfTI volume or cine of the short axis, or a datalist (JSON)."
        ),
    ],
    output: OutputFolder,
    weights: Weights = None,
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
    jobs: Jobs = 1,
) -> None:
    """Segment the short axis of a heart in every phase, and compute volumes.

    Writes into OUT/EXAM/, for every exam found: index.html (a page that shows the stack and the heart, to rotate, scroll
    and print; it works offline); volumes.json and volumes.csv (ml in every phase, stroke volumes, ejection fractions,
    mass). A DICOM exam also gets a DICOM SEG of end-diastole
    and end-systole, and volumes.sr.dcm, a structured report. OUT/masks/ gets the image and a label map of each phase (1 right
    ventricle, 2 myocardium, 3 left ventricle), as NIfTI and for 3D Slicer (.seg.nrrd).

    The exams of a folder are processed one at a time, or --jobs at a time. OUT/index.html and OUT/exams.csv list them, worst
    first. If you start the command again, it continues where it stopped. An exam that cannot be used is left out, with the
    reason.

    To measure masks that you corrected, save them next to the network's as NAME_mask_corrected.nii.gz or
    NAME_corrected.seg.nrrd, and start the command again. The numbers that come from them are marked (*).

    End-diastole and end-systole are the phases in which the left ventricle is largest and smallest. Implausible numbers,
    and those computed from them, are marked (!), with the reason. Stacks that cannot be a short axis are refused. NIfTI files
    whose slices are exactly axial, coronal or sagittal may have lost their orientation (as in ACDC), so they are segmented,
    with all numbers marked. --min_obliquity 0 accepts all stacks without this mark. Research software: not for clinical use.

    For a DATALIST, it segments every exam of every section, and writes masks/ (as above, with a picture of each) and
    datalist.json: the same exams in the same sections, with these masks as their labels, marked as predicted. Use it to train
    on hearts alone (--images segmented). Exams without a plausible mask are listed with the reason.

    With --view 4ch, the command segments the ventricles, the myocardium and the atria in the 4-chamber views instead.
    Without a short axis, no view is recognised: name the series' folder, and add --min_obliquity 0. It writes masks/ as
    above, with a picture of each, and areas.csv: cm2 of each structure in every phase.

    Example: planewise segment work/exams/study_1 -o work/volumes
    """
    if view not in ("sax", "4ch"):
        raise typer.BadParameter(f"--view must be sax or 4ch, got {view}")
    if jobs > 1 and (view != "sax" or exam.suffix == ".json"):
        raise typer.BadParameter("--jobs is for a folder of exams; leave it out with a datalist or with --view")
    if view != "sax":
        if anonymous or per_series or min_obliquity not in (None, 0):
            raise typer.BadParameter("with --view, leave out --anonymous, --per-series and any --min_obliquity but 0")
        with _checked("segment", exam, output, "Looking for 4ch views"):
            with light_imports():
                from planewise.own_exams.label_maps import segment_long_axis

            for line in (*segment_long_axis(exam, output, weights=weights, unrecognised=min_obliquity == 0), _LOOK):
                say(Console(), line)
    elif exam.suffix == ".json":
        _segment_datalist(exam, output, weights, min_obliquity)
    else:
        options = {"weights": weights, "min_obliquity": min_obliquity, "anonymous": anonymous, "per_series": per_series}
        show_pages("segment", "segmenting", exam, output, jobs, **options)


@contextmanager
def _checked(command: str, exam: Path, output: Path, doing: str) -> Iterator[None]:
    """Do the work of a command, if its input exists and its folder can be written to."""
    with refusals(command):
        refuse_missing(exam, EXAM)
        refuse_unwritable(output.expanduser().absolute())
        begin(doing)
        yield


def _segment_datalist(datalist: Path, output: Path, weights: Path | None, min_obliquity: float | None) -> None:
    console = Console()
    with _checked("segment", datalist, output, f"Reading {datalist}"):
        with light_imports():
            from planewise.own_exams import segment_datalist

        with progress_bar("segmenting") as progress:
            done = segment_datalist(datalist, output, weights=weights, min_obliquity=min_obliquity, progress=progress)
    without = [(exam, said(why)) for exam, why in done.left_out.items()]
    print_table(console, "exams without a mask", without, ["exam"], texts=["why"])
    for line in (
        f"{count_of(done.images, 'image')} segmented. {count_of(done.exams, 'exam')} with masks, "
        f"{len(done.left_out)} without.",
        done.note,
        f"Look at the pictures in {done.masks} before you train on them.",
        f"Wrote {done.datalist}. It contains paths: keep it on this machine.",
    ):
        say(console, line)


def show_pages(command: str, doing: str, exam: Path, output: Path, jobs: int = 1, **options: Any) -> None:
    """Make the page of one exam, or work through an archive of several exams, and print the findings. An input error ends the
    command.

    Args:
        command: ``plan`` or ``segment``.
        doing: ``planning`` or ``segmenting``, the function that finds the exams.
        exam: the folder or file with the exams.
        output: folder for the results.
        jobs: number of processes that find and work on the exams of an archive.
        options: further arguments of the function.
    """
    console = Console()
    output = output.expanduser().absolute()
    with _checked(command, exam, output, "Looking for exams"):
        with light_imports():
            own_exams = importlib.import_module("planewise.own_exams")
            from planewise.own_exams.archive import alone
        with alone(), console.status(f"{doing}: looking for exams"):
            work = getattr(own_exams, doing)(exam, workers=jobs, **options)
        if work.skipped:
            reasons = sorted(work.skipped.items(), key=lambda entry: -entry[1])
            why = "; ".join(f"{count} x {reason}" for reason, count in reasons)
            say(console, f"{count_of(sum(work.skipped.values()), 'file')} not read: {why}.")
        output = output.resolve()
        # a folder with an archive stays one; otherwise, its table would still be that of the earlier input
        if len(work.exams | work.left_out) > 1 or (output / "archive.json").is_file():
            _show_archive(work, output, console, jobs)
            named = any(output.glob("*/*.dcm"))
        else:
            begin(f"{doing.capitalize()} {count_of(len(work.exams), 'exam')}")
            with console.status(doing):
                done: Sequence[MadePage] = work.run(output)
            for made in done:
                for line in (*made.lines, *_wrote(made.files)):
                    say(console, line)
            named = any(file.suffix == ".dcm" for made in done for file in made.files)
        if named and not options["anonymous"]:
            say(console, "The .dcm files name the patient, as the images do; --anonymous leaves the patient out.")
        say(console, str(work.note))
        say(console, _LOOK)


def _show_archive(work: ExamWork, output: Path, console: Console, jobs: int = 1) -> None:
    from planewise.own_exams.archive import SHORT, work_through

    tell = partial(say, console)
    tell(
        f"{count_of(len(work.exams), 'exam')} found; results go to {output}. Stop at any time: the next run continues."
    )
    for exam, left in work.left_out.items():
        tell(f"Exam {exam} is left out: {shorten(said(left.why), SHORT, placeholder=' ...')}")
    started = time.monotonic()
    try:
        done = work_through(work, output, tell, jobs)
    except KeyboardInterrupt:
        tell(f"Stopped. {output / 'index.html'} lists the finished exams; start the command again to continue.")
        raise
    why = f"; {done.table.name} gives the reasons" if done.left_out or done.flagged else ""
    made = len(done.finished) - done.kept
    speed = f", {3600 * made / (time.monotonic() - started):.0f} exams per hour" if made else ""
    tell(f"{done.counts}{speed}{why}.")
    folders = done.folders.name if done.folders.parent == output else done.folders
    tell(f"Wrote {done.page}, {done.table.name} and {folders}, which contains paths: keep it on this machine.")


def _wrote(files: Sequence[Path]) -> list[str]:
    """The folders of the files, a line for each; the files of the first one, an exam's, are named."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    (first, names), *masks = folders.items()
    return [f"Wrote {first}/{', '.join(names)}"] + [f"Wrote {folder}" for folder, _ in masks]
