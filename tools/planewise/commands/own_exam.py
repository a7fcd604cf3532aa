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
from planewise.files.identity import salt_file
from planewise.findings import said
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.words import count_of, some_of

if TYPE_CHECKING:
    from planewise.own_exams.heart_bundles import ExamWork, MadePage

ExamPath = Annotated[
    Path, typer.Argument(help="Folder of DICOM files (one exam or many), or a NIfTI volume or cine of the short axis.")
]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, with one folder per exam.")]
BundlesFolder = Annotated[
    Path | None,
    typer.Option(help="Folder with the bundles. Default: planewise's own.", show_default=False),
]
KeepNames = Annotated[
    bool,
    typer.Option(
        "--keep-names",
        help="Name results of NIfTI files by their file names, which may contain people's names, instead of by a hash.",
    ),
]
MinObliquity = Annotated[
    float | None,
    # the option has the same name as in the bundle, because error messages of both mention it
    typer.Option(
        "--min_obliquity",
        help="Refuse stacks within this angle of axial, coronal or sagittal, degrees, and stacks that are not "
        "recognised as a short axis; 0 accepts all. Default: the bundle's value.",
        show_default=False,
    ),
]
Dicom = Annotated[
    bool | None,
    typer.Option(
        "--dicom/--no-dicom",
        help="Also write DICOM files, which belong to the study of the images. Default: only if EXAM is DICOM.",
        show_default=False,
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option(
        "--anonymous",
        help="Leave the patient's name, dates and all other text out of these DICOM files. The UIDs stay.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda:0. Default: a GPU if there is one.", show_default=False)]


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
        _say_if_others_only(work, output, console)
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
        console.print(f"Look at the pictures before you trust a number. {RESEARCH_ONLY}", soft_wrap=True)


def _say_if_others_only(work: ExamWork, output: Path, console: Console) -> None:
    """Say so if a folder has results of other exams only: a new salt changes all hashes."""
    others = sorted(page.parent.name for page in output.glob("*/index.html"))
    if others and not {*others} & {*work.exams, *work.left_out}:
        say(
            console,
            f"{output} has results of {count_of(len(others), 'other exam')} only ({some_of(others)}). If they are the same "
            "exams, the salt of their hashes has changed, so their results and your corrected masks are not used again: "
            f"set PLANEWISE_SALT_FILE to the earlier salt (now {salt_file()}).",
        )


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
    why = f"; {done.table.name} gives the reasons" if done.left_out or done.flagged or done.no_dicom else ""
    tell(
        f"{count_of(len(done.finished), 'exam')} finished, {done.flagged} flagged, {len(done.left_out)} left out{why}."
    )
    if done.no_dicom:
        tell(f"{count_of(len(done.no_dicom), 'exam')} without DICOM files: {some_of(done.no_dicom)}.")
    if done.by_hand:
        unused = [name for name in done.by_hand if not done.finished[name].corrected]
        of_them = f"; not used: {some_of(unused)}" if unused else ""
        tell(
            f"{count_of(len(done.by_hand), 'exam')} with masks that a person changed: {some_of(done.by_hand)}{of_them}."
        )
    folders = done.folders.name if done.folders.parent == output else done.folders
    tell(f"Wrote {done.page}, {done.table.name} and {folders}, which contains paths: keep it on this machine.")


def _wrote(files: Sequence[Path]) -> list[str]:
    """List the files by name, one line for each folder; a folder with the same files for another phase is added to the
    line of the first."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    alike: dict[tuple[str, ...], list[Path]] = {}
    for folder, names in folders.items():
        alike.setdefault(tuple(name.replace(folder.name, "*") for name in names), []).append(folder)
    lines = []
    for first, *others in alike.values():
        names = ", ".join(folders[first])
        same = f"; the same in {', '.join(folder.name for folder in others)}" if others else ""
        lines.append(f"Wrote {first}/{names}{same}")
    return lines
