"""`planewise inspect`: draw an exam of a datalist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import begin, literal, refusals
from planewise.early_checks import refuse_no_datalist
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write


def inspect(
    datalist: Annotated[Path, typer.Argument(help="Datalist from `planewise index`.")],
    exam: Annotated[
        str | None, typer.Option(help="Hash of the exam, or its beginning. Default: the first with all views.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture to write. Default: HASH.png in this folder.")
    ] = None,
    slices: Annotated[int, typer.Option(min=2, max=12, help="Number of slices of the stack to show.")] = 5,
) -> None:
    """Draw an exam: the stack with the lines and heatmaps of the other views, and the other views with the lines of the
    stack.

    Check the picture. In a heart, the 2ch and 4ch lines should cross in the left ventricle, and the slices named base
    and apex should show the base and the apex. In a knee, the axial line should run across the leg and the coronal line
    along it, on all slices; fluid should be bright and fat dark. Photographs should be upright, with their grade.

    The outlines of masks are named by colour. Phases with masks are drawn first, and the picture says which are left out.

    The picture names the exam only by its hash.

    Example: planewise inspect work/datalist.json -o work/exam.png
    """
    console = Console()
    with refusals("inspect"):
        refuse_no_datalist(datalist)
        begin(f"Reading {datalist}")
        # imported late, so that --help does not wait for MONAI
        from planewise.exams.datalist import check_output
        from planewise.own_exams.exam_figure import exam_figure

        written = None if output is None else check_output(output)
        figure, name = exam_figure(datalist, exam, slices)
        if written is None and Path(name).name != name:
            raise InputError(
                f"the datalist calls an exam {name!r}, which cannot be a file name in this folder; name the picture "
                "with -o"
            )
        written = written or Path.cwd() / f"{name}.png"
        with atomic_write(written) as part:
            try:
                figure.savefig(part, format=written.suffix.removeprefix("."), dpi=110, facecolor=figure.get_facecolor())
            except ValueError as error:
                raise InputError(f"{written} cannot be written ({error})") from None
    console.print(f"Wrote {literal(str(written))}", soft_wrap=True)
