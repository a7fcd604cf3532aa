"""Options of both `planewise plan` and `planewise segment`, and the output of their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import begin, refusals, say
from planewise.early_checks import EXAM, refuse_missing, refuse_unwritable
from planewise.findings import said
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.words import count_of

if TYPE_CHECKING:
    from planewise.own_exams.heart_bundles import ExamWork, MadePage

ExamPath = Annotated[
    Path, typer.Argument(help="Folder of DICOM files (one exam or many), or a NIfTI volume or cine of the short axis.")
]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, with one folder per exam.")]
MinObliquity = Annotated[
    float | None,
    # the option has the same name as in the bundle, because error messages of both mention it
    typer.Option(
        "--min_obliquity",
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
#: What the commands say last.
LOOK = f"Look at the pictures before you trust a number. {RESEARCH_ONLY}"


def show_pages(
    command: str, doing: str, exam: Path, find: Callable[[], ExamWork], output: Path, anonymous: bool
) -> None:
    """Make the page of one exam, or work through an archive of several exams, and print the findings. An input error ends the
    command.

    Args:
        command: ``plan`` or ``segment``.
        doing: name of the work, which the terminal shows while it runs.
        exam: the folder or file with the exams.
        find: function that finds the exams.
        output: folder for the results.
        anonymous: whether the DICOM files leave out the patient.
    """
    console = Console()
    with refusals(command):
        output = output.expanduser().absolute()
        refuse_missing(exam, EXAM)
        refuse_unwritable(output)
        begin("Looking for exams")
        with console.status(f"{doing}: looking for exams"):
            work = find()
        if work.skipped:
            reasons = sorted(work.skipped.items(), key=lambda entry: -entry[1])
            why = "; ".join(f"{count} x {reason}" for reason, count in reasons)
            say(console, f"{count_of(sum(work.skipped.values()), 'file')} not read: {why}.")
        output = output.resolve()
        # a folder with an archive stays one; otherwise, its table would still be that of the earlier input
        if len(work.exams | work.left_out) > 1 or (output / "archive.json").is_file():
            _show_archive(work, output, console)
            named = any(output.glob("*/*.dcm"))
        else:
            begin(f"{doing.capitalize()} {count_of(len(work.exams), 'exam')}")
            with console.status(doing):
                done: Sequence[MadePage] = work.run(work.stacks, output)
            for made in done:
                for line in (*made.lines, *_wrote(made.files)):
                    say(console, line)
            named = any(file.suffix == ".dcm" for made in done for file in made.files)
        if named and not anonymous:
            say(console, "The .dcm files name the patient, as the images do; --anonymous leaves the patient out.")
        say(console, str(work.note))
        console.print(LOOK, soft_wrap=True)


def _show_archive(work: ExamWork, output: Path, console: Console) -> None:
    from planewise.own_exams.archive import SHORT, work_through

    def tell(line: str) -> None:
        say(console, line)

    tell(
        f"{count_of(len(work.exams), 'exam')} found; results go to {output}. Stop at any time: the next run continues."
    )
    for exam, left in work.left_out.items():
        tell(f"Exam {exam} is left out: {shorten(said(left.why), SHORT, placeholder=' ...')}")
    try:
        done = work_through(work, output, tell)
    except KeyboardInterrupt:
        tell(f"Stopped. {output / 'index.html'} lists the finished exams; start the command again to continue.")
        raise
    why = f"; {done.table.name} gives the reasons" if done.left_out or done.flagged else ""
    tell(f"{done.counts}{why}.")
    folders = done.folders.name if done.folders.parent == output else done.folders
    tell(f"Wrote {done.page}, {done.table.name} and {folders}, which contains paths: keep it on this machine.")


def _wrote(files: Sequence[Path]) -> list[str]:
    """The folders of the files, a line for each; the files of the first one, an exam's, are named."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    (first, names), *masks = folders.items()
    return [f"Wrote {first}/{', '.join(names)}"] + [f"Wrote {folder}" for folder, _ in masks]
