"""The recipe of a folder of phantom exams, and the folder that it writes. Incomplete exams never appear, and a run
resumes where an earlier one stopped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write, unwritable
from planewise.files.identity import PHANTOM_MARK
from planewise.workshop.phantoms.heart.population import UNLABELLED
from planewise.workshop.phantoms.layouts import LAYOUTS, Layout, Rows
from planewise.workshop.phantoms.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the files, except the number of exams.

    Attributes:
        layout: a key of `LAYOUTS`.
        seed: other seeds give other exams.
        population: of the class of the layout's own population.
        patient_name: patient's name in all headers, to test that it appears in no output; by default, the exam's number.
        birth_date: YYYYMMDD.
    """

    layout: str = "dsbcc"
    seed: int = 0
    population: Settings = UNLABELLED
    patient_name: str = ""
    birth_date: str = ""

    @property
    def form(self) -> Layout:
        """The layout that the recipe names."""
        return LAYOUTS[self.layout]

    def exam(self, number: int) -> Any:
        """Exam ``number``, counted from 1; it does not depend on the other exams.

        If the layout names diagnoses, exams get them in turn, so that any number of exams is balanced.
        """
        return self.form.exam.sample(*self._draw(number))

    def organ(self, number: int) -> Any:
        """Sample only the organ of an exam, such as a heart, a knee with its findings, or a head with its grade. This is
        fast."""
        kind = self.form.exam
        return getattr(kind, "sample_organ", kind.sample)(*self._draw(number))

    def identity(self, number: int) -> dict[str, str]:
        """The patient's identity in an exam's headers, by keyword."""
        name, code = self.patient_name or str(number), f"{self.seed}-{number}"
        return {"PatientName": name, "PatientID": code, "PatientBirthDate": self.birth_date}

    def _draw(self, number: int) -> tuple[object, ...]:
        """The sampling arguments of an exam: seeds, population, and the diagnosis if the layout gives one."""
        groups = self.form.groups
        given = (groups[(number - 1) % len(groups)],) if groups else ()
        return (self.seed, self.form.seed, number), self.population, *given

    def fingerprint(self) -> str:
        """Short hash of the recipe. The same recipe writes the same exams. The hash does not reveal the patient's name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def write_exams(recipe: Recipe, out: Path, exams: int, workers: int = 1) -> Iterator[tuple[int, bool]]:
    """Write exams 1 to ``exams`` of a recipe below ``out``, in a number of processes, on which the files do not depend.

    An exam appears under its name only when it is complete. Exams that are already complete are kept.

    Yields:
        The number of each finished exam, and whether this call wrote it.

    Raises:
        InputError: ``out`` contains exams of another recipe.
    """
    out = out.expanduser()
    _claim(recipe, out)
    numbers = range(1, exams + 1)
    wanted = [n for n in numbers if not all((out / path).exists() for path in recipe.form.exam_paths(recipe, n))]
    yield from ((number, False) for number in numbers if number not in set(wanted))
    rows = {}
    if workers <= 1 or len(wanted) <= 1:
        for number in wanted:
            rows[number] = _write_one(recipe, out, number)
            yield number, True
    else:
        # forking after torch or ITK have started their threads may hang
        with ProcessPoolExecutor(min(workers, len(wanted)), mp_context=get_context("spawn")) as pool:
            jobs = {pool.submit(_write_one, recipe, out, number): number for number in wanted}
            for job in as_completed(jobs):
                rows[jobs[job]] = job.result()
                yield jobs[job], True
    # the tables have all complete exams, because an earlier run may have been longer, or killed before it wrote the tables
    every = takewhile(lambda n: all((out / path).exists() for path in recipe.form.exam_paths(recipe, n)), count(1))
    _write_tables(recipe, out, [rows.get(number) or recipe.form.table_rows(recipe, number) for number in every])
    recipe.form.write_listing(out)


def _claim(recipe: Recipe, out: Path) -> None:
    """Write the recipe to the root folder; refuse a folder with another recipe."""
    path = out / PHANTOM_MARK
    if path.exists():
        found = json.loads(path.read_text()).get("fingerprint")
        if found != recipe.fingerprint():
            raise InputError(
                f"{out} contains phantom exams made with other settings (fingerprint {found}, now "
                f"{recipe.fingerprint()}); name another folder, or remove this one"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    told = {"fingerprint": recipe.fingerprint(), "phantom": True, **asdict(recipe)}
    for identity in ("patient_name", "birth_date"):
        told.pop(identity)
    with atomic_write(path) as part:
        part.write_text(json.dumps(told, indent=2) + "\n")


def _write_one(recipe: Recipe, out: Path, number: int) -> Rows:
    """Write an exam under temporary names, and rename it when it is complete; return its rows of the set's tables."""
    places = [out / path for path in recipe.form.exam_paths(recipe, number)]
    partial = [final.with_name(f".{final.name}.partial") for final in places]
    for path in partial:
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    recipe.form.write_exam(recipe, number, partial)
    for path, final in zip(partial, places, strict=True):
        os.replace(path, final)
    return recipe.form.table_rows(recipe, number)


def _write_tables(recipe: Recipe, out: Path, rows: list[Rows]) -> None:
    """Write the set's tables, ordered by the exams' identifiers."""
    tables: dict[str, list[tuple[object, ...]]] = {}
    for name, row in (entry for each in rows for entry in each.items()):
        tables.setdefault(name, []).append(row)
    header = [recipe.form.header] if recipe.form.header else []
    for name, table in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*header, *sorted(table, key=lambda row: int(str(row[0])))])
        with atomic_write(out / name) as part:
            part.write_text(text.getvalue())
