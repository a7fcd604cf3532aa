"""`planewise phantom`: write synthetic exams as real files."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from planewise.commands.terminal import progress_bar, refusals
from planewise.cores import own_cores
from planewise.errors import InputError

#: The layouts of each kind of exam, the default first.
LAYOUTS_OF = {
    "cardiac": ("dsbcc", "acdc", "mnms2", "ukbb"),
    "knee": ("fastmri", "mrnet"),
    "volume": ("brats", "msd"),
    "photograph": ("aptos",),
}
#: Fewest pixels along a side of a photograph: its lesions need as many.
SMALLEST_PHOTOGRAPH = 88
Kind = Enum("Kind", {kind: kind for kind in LAYOUTS_OF}, type=str)
Layout = Enum("Layout", {layout: layout for layouts in LAYOUTS_OF.values() for layout in layouts}, type=str)
Size = Enum("Size", {"demo": "demo", "paper": "paper"}, type=str)


def phantom(
    kind: Annotated[Kind, typer.Argument(help="What to scan.")],
    out: Annotated[
        Path | None, typer.Argument(help="Folder to write to; created if missing.", show_default=False)
    ] = None,
    exams: Annotated[int, typer.Option(min=1, help="How many exams.")] = 10,
    seed: Annotated[int, typer.Option(help="Exam k of a seed does not depend on the number of exams.")] = 0,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="Real data set whose files and population the exams have. Hearts: dsbcc (DICOM, a series per slice, 2ch and "
            "4ch, no labels; for pretraining), acdc (NIfTI short axis with masks at ED and ES, five disease groups; for "
            "fine-tuning), mnms2 (also 4ch), ukbb (also 2ch and 4ch, five structures in 4ch). Knees: fastmri (DICOM, "
            "no labels; for pretraining), mrnet (NumPy without geometry, three labels; for fine-tuning). Volumes: brats "
            "(heads in four contrasts, masks of tumours), msd (abdomens in CT, masks of pancreas and tumour for two of "
            "three). Photographs: aptos (retinas, with grades for two of three). Default: the first.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        Size, typer.Option(help="Hearts and knees. paper: full matrix, 30 phases; 10 to 30 times the work of demo.")
    ] = Size.demo,
    phases: Annotated[
        int | None, typer.Option(min=1, help="Hearts: phases of the cycle.", show_default="by size")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(min=16, help="Volumes and photographs: voxels or pixels along a side.", show_default="by layout"),
    ] = None,
    extra_views: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="dsbcc: share of exams with 3ch, right ventricular and localizer series, some misnamed."
        ),
    ] = 0.0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a setting of the population, e.g. --set image_rotation=4 --set noise=0.02,0.08; repeatable. "
            "--set tumour=0 makes healthy heads for pretraining; with --set tissues=1 they have masks of three tissues.",
            show_default=False,
        ),
    ] = None,
    list_settings: Annotated[
        bool, typer.Option("--list-settings", help="List every setting of the population with its value, and exit.")
    ] = False,
    patient_name: Annotated[
        str,
        typer.Option(help="DICOM layouts: name for every header, e.g. Doe^Jane, to test that no output repeats it."),
    ] = "",
    birth_date: Annotated[str, typer.Option(help="DICOM layouts: birth date for every header, YYYYMMDD.")] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="Number of processes; the files do not depend on it. 0: one per core.")
    ] = 0,
) -> None:
    """Write phantom exams as real files, in real data sets' layouts, for demos and tests without patients.

    Hearts beat, in five disease groups, and knees are healthy or injured; both are scanned along planes prescribed by their
    anatomy. Volumes are heads or abdomens with tumours, photographs are retinas whose lesions determine their grade.

    If you run it again, it keeps complete exams and writes the rest.

    Example: planewise phantom cardiac work/unlabelled --exams 200 --seed 1
    """
    with refusals("phantom"):
        from rich.console import Console
        from rich.table import Table

        from planewise.workshop.phantoms import LAYOUTS, Recipe, write_exams

        known = LAYOUTS_OF[kind.value]
        name = known[0] if layout is None else layout.value
        if name not in known:
            raise InputError(f"{kind.value} phantoms have no layout {name}; choose one of {', '.join(known)}")
        population = LAYOUTS[name].population
        population = population.at_size(size.value) if kind.value in ("cardiac", "knee") else population
        given = {"phases": phases, "side": side}
        for option, kinds in (("phases", ("cardiac",)), ("side", ("volume", "photograph"))):
            if given[option] is not None and kind.value not in kinds:
                raise InputError(f"--{option} is only for {' and '.join(kinds)} phantoms; leave it out")
        if kind.value == "photograph" and side is not None and side < SMALLEST_PHOTOGRAPH:
            raise InputError(f"--side must be at least {SMALLEST_PHOTOGRAPH} for photographs, got {side}")
        population = population.with_text(set_ or []).with_values(
            **{key: value for key, value in given.items() if value is not None}
        )
        if list_settings:
            table = Table("setting", f"value for {name}", "meaning")
            for row in population.describe():
                table.add_row(*row)
            return Console().print(table)
        if out is None:
            raise InputError("no folder to write to; name one, e.g. work/phantoms")
        headers = {"extra_views": extra_views, "patient_name": patient_name, "birth_date": birth_date}
        recipe = Recipe(name, seed, population, **headers if kind.value in ("cardiac", "knee") else {})
        start, written = time.monotonic(), 0
        with progress_bar(f"phantom exams ({name})") as shown:
            for done, (_, new) in enumerate(write_exams(recipe, out, exams, workers or own_cores()), 1):
                written += new
                shown(done, exams)
        kept = f", {exams - written} were complete already" if written < exams else ""
        typer.echo(f"{out}: {written} phantom exams written in {time.monotonic() - start:.0f} s{kept}")
