"""`planewise align`: correct a datalist for breath-hold shifts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from planewise.commands.terminal import literal, plain_table, progress_bar, refusals
from planewise.errors import InputError
from planewise.exams.words import count_of

if TYPE_CHECKING:
    from planewise.data.breath_holds import AlignedExam

#: Largest number of exams in the table on the screen; the datalist contains every exam.
_MOST_EXAMS = 25


def align(
    datalist: Annotated[Path, typer.Argument(help="Datalist of hearts that `planewise index` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The datalist to write (JSON).")],
) -> None:
    """Correct the shifts between breath-holds, and write a datalist with the corrected positions of slices and planes.

    Each slice of a cine is acquired in its own breath-hold, and the heart does not return to exactly the same position
    each time. Two intersecting images show the same tissue along their line of intersection, so images are translated
    until their intensities agree along all lines (arXiv 2404.00767).

    An exam stays unchanged, with the reason in the table, if it has no long-axis views, if its intensities are not
    informative enough, or if they do not agree. The command writes only the datalist; bundles, `planewise plan` and
    `planewise inspect` take it like any other.

    Example: planewise align work/datalist.json -o work/aligned.json
    """
    console = Console()
    with refusals("align"):
        # imported late, so that --help does not wait for MONAI
        from planewise.data.breath_holds import undo_breath_holds
        from planewise.exams.datalist import check_output, write_datalist

        written = check_output(output)
        if written == datalist.expanduser().absolute():
            raise InputError(f"the output {datalist} would overwrite the input; name another file with -o")
        with progress_bar("comparing images") as progress:
            content, found = undo_breath_holds(datalist, progress)
        write_datalist(content, written)
    undone = [exam for exam in found if exam.why_not is None]
    if undone:
        console.print(_table(undone[:_MOST_EXAMS]))
    if len(undone) > _MOST_EXAMS:
        console.print(f"... and {count_of(len(undone) - _MOST_EXAMS, 'exam')} more: see `exams` in the datalist.")
    reasons = defaultdict(list)
    for exam in found:
        if exam.why_not is not None:
            reasons[exam.why_not].append(exam.exam)
    for reason, names in reasons.items():
        which = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        console.print(f"[yellow]unchanged:[/] {which}. {literal(reason)}", soft_wrap=True)
    console.print(
        f"Corrected the shifts of {len(undone)} of {count_of(len(found), 'exam')}. Wrote "
        f"{literal(str(written))}. It contains paths: keep it on this machine.",
        soft_wrap=True,
    )


def _table(exams: list[AlignedExam]) -> Table:
    numbers = ("images", "agreement", "undone", "shift, mm", "largest", "uncertain by")
    table = plain_table("shifts undone", ["exam"], numbers)
    for exam in exams:
        lengths = exam.shifts.norm(dim=-1)
        table.add_row(
            exam.exam,
            str(exam.images),
            *(f"{value:.3f}" for value in exam.agreement),
            f"{float(lengths.median()):.1f}",
            f"{float(lengths.max()):.1f}",
            f"{exam.uncertainty:.1f}",
        )
    return table
