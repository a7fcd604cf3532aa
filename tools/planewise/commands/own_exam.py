"""Options that `planewise plan` and `planewise segment` share, and how they show their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import literal, refusals
from planewise.reports.research_only import RESEARCH_ONLY

if TYPE_CHECKING:
    from planewise.own_exams import MadePage

ExamPath = Annotated[Path, typer.Argument(help="Folder of DICOM files, or a NIfTI volume of the short axis.")]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, with one folder per exam.")]
BundlesFolder = Annotated[
    Path | None,
    typer.Option(help="Folder with the bundles. Default: the clone's.", show_default=False),
]
KeepNames = Annotated[
    bool,
    typer.Option(
        "--keep-names",
        help="Name results of NIfTI files by their file names, which may be people's names, instead of by a hash.",
    ),
]
MinObliquity = Annotated[
    float | None,
    # the bundle's name for it, because a refusal names both
    typer.Option(
        "--min_obliquity",
        help="Refuse stacks within this angle of axial, coronal or sagittal, degrees, and stacks that are not "
        "recognised as a short axis; 0 takes all. Default: the bundle's.",
        show_default=False,
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda:0. Default: a GPU if there is one.", show_default=False)]


def show_pages(command: str, doing: str, make: Callable[[], Sequence[MadePage]]) -> None:
    """Make pages under a progress bar and print the findings; a refusal ends the command.

    Args:
        command: ``plan`` or ``segment``.
        doing: what the terminal shows meanwhile.
        make: makes the pages.
    """
    console = Console()
    with refusals(command):
        with console.status(doing):
            done = make()
        for made in done:
            for line in made.lines:
                console.print(literal(line), soft_wrap=True, highlight=False)
            console.print(f"Wrote {literal(str(made.page))}", soft_wrap=True, highlight=False)
        console.print(f"Look at the pictures before you trust a number. {RESEARCH_ONLY}", soft_wrap=True)
