"""`planewise phantom`: synthetic exams as real files."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="phantom",
    help="Synthetic exams, written as real files in real data sets' layouts, for demos and tests without patients.",
    no_args_is_help=True,
)


class Layout(str, Enum):
    """File trees that can be written."""

    dsbcc = "dsbcc"
    acdc = "acdc"


class Size(str, Enum):
    """Image sizes."""

    demo = "demo"
    paper = "paper"


@app.callback()
def phantom() -> None:
    """Synthetic exams, written as real files in real data sets' layouts, for demos and tests without patients."""


@app.command()
def cardiac(
    out: Annotated[Path | None, typer.Argument(help="Folder to write to; made if absent.", show_default=False)] = None,
    exams: Annotated[int, typer.Option(min=1, help="How many exams.")] = 10,
    seed: Annotated[int, typer.Option(help="Exam k of a seed is the same however many are made.")] = 0,
    layout: Annotated[
        Layout,
        typer.Option(
            help="dsbcc: DICOM, a series per slice, 2ch and 4ch, no labels (to pretrain on). "
            "acdc: NIfTI short axis with masks at ED and ES, five disease groups (to fine-tune on). "
            "The two are different populations of patients and scanners."
        ),
    ] = Layout.dsbcc,
    size: Annotated[
        Size,
        typer.Option(help="demo: about 2.7 mm pixels, 5 phases. paper: about 1.4 mm, 30 phases; 30 times the work."),
    ] = Size.demo,
    phases: Annotated[int | None, typer.Option(min=1, help="Phases of the cycle.", show_default="by size")] = None,
    spacing: Annotated[
        float | None, typer.Option(min=0.3, help="Pixel spacing, mm.", show_default="varies by scanner")
    ] = None,
    field: Annotated[
        float | None, typer.Option(min=50, help="Longer side of the images, mm.", show_default="varies by scanner")
    ] = None,
    thickness: Annotated[
        float | None, typer.Option(min=1, help="Slice thickness, mm.", show_default="varies by scanner")
    ] = None,
    gap: Annotated[
        float | None, typer.Option(min=0, help="Gap between slices, mm.", show_default="varies by scanner")
    ] = None,
    extra_views: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="dsbcc: share of exams with 3ch, right ventricular and localizer series, some misnamed."
        ),
    ] = 0.0,
    defect: Annotated[
        list[str] | None,
        typer.Option(
            help="dsbcc: write every exam with this flaw; repeat or separate by commas. See --list-defects.",
            show_default=False,
        ),
    ] = None,
    list_defects: Annotated[bool, typer.Option("--list-defects", help="Show what --defect knows, and stop.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a number of the population, e.g. --set tilt=4 --set noise=0.02,0.08; repeatable. "
            "See --list-settings.",
            show_default=False,
        ),
    ] = None,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="Show every number of the population, and stop.")
    ] = False,
    patient_name: Annotated[
        str, typer.Option(help="dsbcc: name for every header, e.g. Doe^Jane, to test that it goes nowhere.")
    ] = "",
    birth_date: Annotated[str, typer.Option(help="dsbcc: birth date for every header, YYYYMMDD.")] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; what is written does not depend on it. 0: one per core.")
    ] = 0,
) -> None:
    """Writes phantom hearts: beating, of five disease groups, scanned along planes laid by their anatomy.

    Run again, it keeps the exams that are complete and writes the rest.

    Example: planewise phantom cardiac work/unlabelled --exams 200 --seed 1
    """
    from planewise.errors import InputError
    from planewise.phantoms.defects import DEFECTS
    from planewise.phantoms.population import LABELLED, UNLABELLED
    from planewise.phantoms.recipe import Recipe

    population = (LABELLED if layout is Layout.acdc else UNLABELLED).at_size(size.value)
    if list_defects:
        _print_table(("defect", "what it writes"), [(name, flaw.what) for name, flaw in DEFECTS.items()])
        return
    if list_settings:
        _print_table(("setting", f"value for {layout.value}, {size.value}", "meaning"), population.describe())
        return
    if out is None:
        raise typer.BadParameter("give a folder to write to, e.g. `planewise phantom cardiac work/phantoms`")
    names = tuple(name.strip() for text in defect or [] for name in text.split(",") if name.strip())
    try:
        if unknown := [name for name in names if name not in DEFECTS]:
            raise InputError(f"there is no defect {unknown[0]!r}; --list-defects shows what there is")
        if names and layout is Layout.acdc:
            raise InputError("defects are flaws of DICOM exams and ACDC's layout has none; leave out --defect")
        population = population.with_text(set_ or [])
        if thickness is not None or gap is not None:
            usual = population.slices[0]
            slices = ((thickness or usual[0], usual[1] if gap is None else gap),)
            population = population.with_values(slices=slices)
        for name, value in (("spacing", spacing), ("field", field)):
            if value is not None:
                population = population.with_values(**{name: (value, value)})
        if phases is not None:
            population = population.with_values(phases=phases)
        recipe = Recipe(layout.value, seed, population, names, extra_views, patient_name, birth_date)
        _write(recipe, out, exams, workers or _cores())
    except InputError as error:
        typer.echo(f"planewise phantom: {error}", err=True)
        raise typer.Exit(1) from None


def _cores() -> int:
    """Cores that this process may use; a container often grants fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write(recipe, out: Path, exams: int, workers: int) -> None:
    """Writes the exams under a progress bar and says what was done."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from planewise.phantoms.writing import write_exams

    start, written = time.monotonic(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"phantom exams ({recipe.layout})", total=exams)
        for _, new in write_exams(recipe, out, exams, workers):
            written += new
            progress.advance(bar)
    seconds = time.monotonic() - start
    kept = f", {exams - written} were there already" if written < exams else ""
    typer.echo(f"{out}: {written} phantom exams written in {seconds:.0f} s{kept}")


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints rows under a header."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
