"""`planewise compare` and `report`: find out which pretext helps on your own images, and write a study's page."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import planewise
from planewise.commands.terminal import begin, print_table, progress_bar, refusals, say
from planewise.errors import IMAGES, InputError, refuse_missing, refuse_unwritable
from planewise.files.atomic_write import claim_folder


def compare(
    unlabelled: Annotated[Path, typer.Argument(help="Datalist, or folder, of the images to pretrain on.")],
    labelled: Annotated[
        Path, typer.Argument(help="Datalist, or folder, of the labelled exams; a folder is split 0.5 0.2 0.3.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for datalists, study and results.")],
    anatomy: Annotated[
        str, typer.Option(help="Anatomy in the folders: cardiac, knee, photograph or volume (any organ).")
    ] = "cardiac",
    labels: Annotated[Path | None, typer.Option(help="Folder of masks for a folder of labelled exams.")] = None,
    classes: Annotated[Path | None, typer.Option(help="CSV of classes for a folder of labelled exams.")] = None,
    starts: Annotated[
        str | None,
        typer.Option(
            help="What to compare: ours (weights that ship), pretexts by name or all, NAME=PATH (any weights). Default: ours "
            "and three pretexts that suit the images."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")] = False,
) -> None:
    """Compare pretexts on your own images and labels: does pretraining help, and which pretext helps most?

    Indexes the folders, chooses pretexts that suit the images, writes OUT/study.yaml, prints the number of trainings, and
    asks. To change something (labelled exams, draws, lengths of trainings, networks, the task), answer no, edit
    OUT/study.yaml, and start the command again. Each pretext is trained on the unlabelled images; then the task is trained
    from scratch and from each pretext, on a few labelled exams, which are drawn several times. The two folders may be the
    same: a patient in both is kept out of the pretexts' training section if its labelled exam is for validation or test. The
    result is a page, OUT/report/index.html: gains over scratch with intervals, and a verdict for each pretext. You can stop
    it with Ctrl-C; the same command resumes it. It needs a clone of planewise (tools/docs/studies.md).

    With --starts, also weights from files: --starts scratch,simclr,ours,zoo=/data/zoo_bundle. The page names what each start
    was trained on, and warns if it may have seen the test patients.

    The task: segmentation of the short axis for hearts and of the structures in masks for whole volumes, classification of
    injuries for knees, grading for photographs of retinas.

    Example: planewise compare /data/pacs /data/labelled -o /data/compared --starts multitask,simclr
    """
    root = Path(planewise.__file__).resolve().parents[2]
    with refusals("compare"):
        if not (root / "tools/studies/compare.py").is_file():
            raise InputError("this needs a clone of planewise, which has the studies (tools/studies); run it there")
        if importlib.util.find_spec("snakemake") is None:
            raise InputError(
                f"this needs Snakemake, which runs the trainings: {sys.executable} -m pip install 'snakemake>=8' (it needs "
                "Python 3.11 or newer)"
            )
        for path in (unlabelled, labelled):
            refuse_missing(path, IMAGES)
        out = output.expanduser().resolve()
        refuse_unwritable(out)
        begin(f"Reading {unlabelled} and {labelled}")
        # imported late, so that --help does not wait for MONAI
        from planewise.engines import keep_quiet
        from planewise.workshop.study.sections import warnings_of

        keep_quiet()
        sys.path.insert(0, str(root))
        studies = importlib.import_module("tools.studies.compare")
        given = None if starts is None else studies.starts_in(starts)
        studies.refuse_early(anatomy, given)
        claim_folder(out)
        with progress_bar("reading headers of unlabelled images") as progress:
            images = studies.indexed(unlabelled, out, "unlabelled", anatomy=anatomy, progress=progress)
        with progress_bar("reading headers of labelled images") as progress:
            exams = studies.indexed(
                labelled, out, "labelled", anatomy=anatomy, labels_dir=labels, classes=classes, progress=progress
            )
        studies.keep_apart(images, exams, out)
        file = out / "study.yaml"
        study = studies.study_of(images, exams, out, studies.device(), given)
        study = studies.write(study, file)
        for warning in warnings_of(study["methods"], exams):
            typer.echo(f"Warning: {warning}.")
        trainings = studies.trainings(study)
        typer.echo(f"Task: {studies.task_of(study)}. If the images show something else, give --anatomy.")
        typer.echo(f"{file}: {', '.join(study['methods'])}; {trainings} trainings.")
        later = f"tools/demo --configfile {file}"
        if not yes and not (sys.stdin.isatty() and typer.confirm("Start?")):
            typer.echo(f"Not started; --yes starts without asking. Later: {later}")
            return
    typer.echo(f"The log of each training is in {out / 'logs'}.")
    # tools/demo replaces this process, because Ctrl-C would end a parent process before the trainings have stopped
    sys.stdout.flush()
    os.chdir(root)
    os.execv(root / "tools/demo", [str(root / "tools/demo"), "--configfile", str(file)])


def report(
    study: Annotated[Path, typer.Argument(help="Folder of a study: `out` in its configuration.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file to write.", show_default="STUDY/report/index.html")
    ] = None,
) -> None:
    """Write a study's results as one HTML file, and as three CSV files next to it.

    The page shows scores, their differences and the versions of the steps that ran. runs.csv has the scores of each
    fine-tuning, scores.csv those of each test case, and differences.csv the differences from training from scratch.

    Example: planewise report work/study
    """
    with refusals("report"):
        # imported late, so that --help does not wait for matplotlib
        from planewise.workshop.study.study_report import write_study_report

        output = output or study / "report" / "index.html"
        tables = write_study_report(study, output)
    # output to a log is not limited to the width of a terminal
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        print_table(console, table.title, table.rows, texts=table.header)
    say(console, f"Wrote {output}")
