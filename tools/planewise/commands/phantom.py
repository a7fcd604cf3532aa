"""`planewise phantom`: write synthetic exams as real files."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from planewise.commands.terminal import print_table, progress_bar, refusals
from planewise.cores import own_cores
from planewise.errors import InputError

#: The layouts of each kind of exam, the default first.
LAYOUTS_OF = {
    "cardiac": ("dsbcc", "acdc", "mnms2", "ukbb"),
    "knee": ("fastmri", "mrnet"),
    "volume": ("brats", "msd"),
    "photograph": ("aptos",),
}
Kind = Enum("Kind", {kind: kind for kind in LAYOUTS_OF}, type=str)
Layout = Enum("Layout", {layout: layout for layouts in LAYOUTS_OF.values() for layout in layouts}, type=str)
Size = Enum("Size", {"demo": "demo", "paper": "paper"}, type=str)
#: Settings of the files, which `--set` takes next to those of a population, and their meaning.
_OF_FILES = {
    "patient_name": "DICOM: name in every header, e.g. Doe^Jane, to test that no output repeats it",
    "birth_date": "DICOM: birth date in every header, YYYYMMDD",
}


def phantom(
    kind: Annotated[Kind, typer.Argument(help="What to scan.")],
    out: Annotated[Path | None, typer.Argument(help="Folder to write to; created if missing.")] = None,
    exams: Annotated[int, typer.Option(min=1, help="How many exams.")] = 10,
    seed: Annotated[int, typer.Option(help="Exam k of a seed does not depend on the number of exams.")] = 0,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="Data set whose files the exams have. Hearts: dsbcc (DICOM, no labels), acdc (NIfTI, masks, diseases), "
            "mnms2, ukbb. Knees: fastmri (DICOM, no labels), mrnet (three labels). Volumes: brats, msd. Photographs: aptos. "
            "Default: the first."
        ),
    ] = None,
    size: Annotated[
        Size, typer.Option(help="Hearts and knees. paper: full matrix, 30 phases; 10 to 30 times the work of demo.")
    ] = Size.demo,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a setting, e.g. --set phases=2 --set noise=0.02,0.08; repeatable. help lists all settings.",
        ),
    ] = None,
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
        from planewise.workshop.phantoms import LAYOUTS, Recipe, write_exams

        known = LAYOUTS_OF[kind.value]
        name = known[0] if layout is None else layout.value
        if name not in known:
            raise InputError(f"{kind.value} phantoms have no layout {name}; choose one of {', '.join(known)}")
        population = LAYOUTS[name].population.at_size(size.value)
        scanned = kind.value in ("cardiac", "knee")
        texts = set_ or []
        if "help" in texts:
            rows = [*population.describe(), *((key, "", why) for key, why in _OF_FILES.items() if scanned)]
            print_table(Console(), "", rows, ("setting",), texts=(f"value for {name}", "meaning"))
            return
        of_files = dict(text.partition("=")[::2] for text in texts if scanned and text.partition("=")[0] in _OF_FILES)
        population = population.with_text([text for text in texts if text.partition("=")[0] not in of_files])
        if out is None:
            raise InputError("no folder to write to; name one, e.g. work/phantoms")
        recipe = Recipe(name, seed, population, **of_files)
        start, written = time.monotonic(), 0
        with progress_bar(f"phantom exams ({name})") as shown:
            for done, (_, new) in enumerate(write_exams(recipe, out, exams, workers or own_cores()), 1):
                written += new
                shown(done, exams)
        kept = f", {exams - written} were complete already" if written < exams else ""
        typer.echo(f"{out}: {written} phantom exams written in {time.monotonic() - start:.0f} s{kept}")
