"""`planewise phantom`: write synthetic exams as real files."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planewise.commands.terminal import progress_bar, refusals
from planewise.cores import own_cores

if TYPE_CHECKING:
    from planewise.phantoms.settings import Settings

app = typer.Typer(
    name="phantom",
    help="Synthetic exams, written as real files in real data sets' layouts, for demos and tests without patients.",
    no_args_is_help=True,
)


def _choice(name: str, *values: str) -> type[Enum]:
    """The type of an option whose value is one of the given words."""
    return Enum(name, {value: value for value in values}, type=str)


HeartLayout = _choice("HeartLayout", "dsbcc", "acdc", "mnms2", "ukbb")
KneeLayout = _choice("KneeLayout", "fastmri", "mrnet")
VolumeLayout = _choice("VolumeLayout", "brats", "msd")
PhotographLayout = _choice("PhotographLayout", "aptos")
Size = _choice("Size", "demo", "paper")

# options of all subcommands; each subcommand adds its own layouts and sizes
Out = Annotated[Path | None, typer.Argument(help="Folder to write to; created if missing.", show_default=False)]
Exams = Annotated[int, typer.Option(min=1, help="How many exams.")]
Seed = Annotated[int, typer.Option(help="Exam k of a seed does not depend on the number of exams.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting of the population, e.g. --set image_rotation=4 --set noise=0.02,0.08; repeatable. "
        "See --list-settings.",
        show_default=False,
    ),
]
ListSettings = Annotated[
    bool,
    typer.Option("--list-settings", help="List every setting of the phantom population with its value, and exit."),
]
PatientName = Annotated[
    str,
    typer.Option(help="DICOM layouts: name for every header, e.g. Doe^Jane, to test that no output repeats it."),
]
BirthDate = Annotated[str, typer.Option(help="DICOM layouts: birth date for every header, YYYYMMDD.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Number of processes; the files do not depend on it. 0: one per core.")
]


@app.command()
def cardiac(
    out: Out = None,
    exams: Exams = 10,
    seed: Seed = 0,
    layout: Annotated[
        HeartLayout,
        typer.Option(
            help="dsbcc: DICOM, a series per slice, 2ch and 4ch, no labels (for pretraining). acdc: NIfTI short axis "
            "with masks at ED and ES, five disease groups (for fine-tuning). mnms2: NIfTI short axis and 4ch with"
            " masks at ED and ES, like M&Ms-2. ukbb: NIfTI short axis, 2ch and 4ch, named as in UK Biobank "
            "pipelines, with masks at ED and ES (five structures in 4ch). Each layout is a different population "
            "of patients and scanners."
        ),
    ] = HeartLayout.dsbcc,
    size: Annotated[
        Size,
        typer.Option(help="demo: about 2.7 mm pixels, 5 phases. paper: about 1.4 mm, 30 phases; 30 times the work."),
    ] = Size.demo,
    phases: Annotated[int | None, typer.Option(min=1, help="Phases of the cycle.", show_default="by size")] = None,
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
    set_: Set = None,
    list_settings: ListSettings = False,
    patient_name: PatientName = "",
    birth_date: BirthDate = "",
    workers: Workers = 0,
) -> None:
    """Writes phantom hearts: beating, in five disease groups, scanned along planes prescribed by their anatomy.

    If you run it again, it keeps complete exams and writes the rest.

    Example: planewise phantom cardiac work/unlabelled --exams 200 --seed 1
    """
    with refusals("phantom"):
        population = _population(layout, set_, size)
        usual = population.slices[0]
        slices = ((thickness or usual[0], usual[1] if gap is None else gap),)
        population = population.with_values(
            phases=phases or population.phases,
            slices=population.slices if thickness is None and gap is None else slices,
        )
        headers = {"extra_views": extra_views, "patient_name": patient_name, "birth_date": birth_date}
        _write(out, exams, workers, list_settings, layout, seed, population, **headers)


@app.command()
def knee(
    out: Out = None,
    exams: Exams = 10,
    seed: Seed = 0,
    layout: Annotated[
        KneeLayout,
        typer.Option(
            help="fastmri: DICOM, sagittal T2 with fat suppression, coronal, axial and more, no labels (for "
            "pretraining). mrnet: NumPy sagittal volumes without geometry, tables of three labels (for "
            "fine-tuning). The two are different populations of patients and scanners."
        ),
    ] = KneeLayout.fastmri,
    size: Annotated[
        Size,
        typer.Option(
            help="demo: about 128 pixels across, slices 6 mm apart. "
            "paper: about 256 pixels, slices 3.5 mm apart; 10 times the work."
        ),
    ] = Size.demo,
    set_: Set = None,
    list_settings: ListSettings = False,
    patient_name: PatientName = "",
    birth_date: BirthDate = "",
    workers: Workers = 0,
) -> None:
    """Writes phantom knees: left and right, healthy and injured, scanned along planes prescribed by their anatomy.

    If you run it again, it keeps complete exams and writes the rest.

    Example: planewise phantom knee work/labelled --layout mrnet --exams 120 --seed 2
    """
    with refusals("phantom"):
        population = _population(layout, set_, size)
        headers = {"patient_name": patient_name, "birth_date": birth_date}
        _write(out, exams, workers, list_settings, layout, seed, population, **headers)


@app.command()
def volume(
    out: Out = None,
    exams: Exams = 10,
    seed: Seed = 0,
    layout: Annotated[
        VolumeLayout,
        typer.Option(
            help="brats: heads in four contrasts, masks of tumour core, oedema and enhancing tumour. msd: abdomens in "
            "CT; two of three have masks of pancreas and tumour, the third is a test image without masks."
        ),
    ] = VolumeLayout.brats,
    side: Annotated[int, typer.Option(min=16, help="Voxels along each axis.")] = 64,
    set_: Set = None,
    list_settings: ListSettings = False,
    workers: Workers = 0,
) -> None:
    """Writes phantom volumes: heads with brain tumours, or abdomens with tumours of the pancreas, as NIfTI.

    --set tumour=0 makes healthy heads for pretraining; with --set tissues=1 they have masks of three tissues.

    Example: planewise phantom volume work/heads --layout brats --exams 40 --seed 1
    """
    with refusals("phantom"):
        population = _population(layout, set_).with_values(side=side)
        _write(out, exams, workers, list_settings, layout, seed, population)


@app.command()
def photograph(
    out: Out = None,
    exams: Exams = 10,
    seed: Seed = 0,
    layout: Annotated[
        PhotographLayout,
        typer.Option(
            help="aptos: colour photographs of retinas; two of three have their grade of diabetic retinopathy (0 to 4)"
            " in a table, the third is a test image without a grade."
        ),
    ] = PhotographLayout.aptos,
    side: Annotated[
        int | None, typer.Option(min=88, help="Pixels from left to right.", show_default="by population")
    ] = None,
    set_: Set = None,
    list_settings: ListSettings = False,
    workers: Workers = 0,
) -> None:
    """Writes phantom photographs of retinas, whose lesions determine their grade.

    Example: planewise phantom photograph work/retinas --exams 300 --seed 1
    """
    with refusals("phantom"):
        population = _population(layout, set_)
        population = population.with_values(side=side or population.side)
        _write(out, exams, workers, list_settings, layout, seed, population)


def _population(layout: Enum, changes: list[str] | None, size: Enum | None = None) -> Any:
    """The layout's own population at a size, with settings changed as ``name=value``."""
    from planewise.phantoms import LAYOUTS

    population = LAYOUTS[layout.value].population
    return (population.at_size(size.value) if size else population).with_text(changes or [])


def _write(
    out: Path | None,
    exams: int,
    workers: int,
    list_settings: bool,
    layout: Enum,
    seed: int,
    population: Settings,
    **headers: Any,
) -> None:
    """Prints the settings if requested, else writes the exams of a recipe."""
    from rich.console import Console
    from rich.table import Table

    from planewise.phantoms import Recipe, write_exams

    if list_settings:
        table = Table("setting", f"value for {layout.value}", "meaning")
        for row in population.describe():
            table.add_row(*row)
        return Console().print(table)
    if out is None:
        raise typer.BadParameter("no folder to write to; name one, e.g. work/phantoms")
    start, written = time.monotonic(), 0
    with progress_bar(f"phantom exams ({layout.value})") as shown:
        recipe = Recipe(layout.value, seed, population, **headers)
        for done, (_, new) in enumerate(write_exams(recipe, out, exams, workers or own_cores()), 1):
            written += new
            shown(done, exams)
    kept = f", {exams - written} were complete already" if written < exams else ""
    typer.echo(f"{out}: {written} phantom exams written in {time.monotonic() - start:.0f} s{kept}")
