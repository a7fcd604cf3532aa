"""Writing trees of exams: in parallel, whole exams or none, going on where an earlier run stopped."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from planewise.errors import InputError
from planewise.phantoms import acdc, dsbcc
from planewise.phantoms.recipe import Recipe

#: File at the root of a tree that says what it was made of.
MANIFEST = "phantom.json"


def write_exams(recipe: Recipe, out: Path, exams: int, workers: int = 1) -> Iterator[tuple[int, bool]]:
    """Writes exams 1 to ``exams`` of a recipe below ``out``.

    An exam appears under its name only when it is complete, and one that is there is not written again.

    Args:
        recipe: what to write.
        out: root of the tree; it may hold exams of the same recipe.
        exams: how many.
        workers: processes; what is written does not depend on it.

    Yields:
        Number of each exam as it is done, and whether it was written now.

    Raises:
        InputError: ``out`` holds exams of another recipe.
    """
    _claim(recipe, out)
    rows = {}
    wanted = [number for number in range(1, exams + 1) if not _place(recipe, out, number).exists()]
    yield from ((number, False) for number in range(1, exams + 1) if number not in set(wanted))
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
    if recipe.layout == "dsbcc":
        _write_table(recipe, out, exams, rows)


def _place(recipe: Recipe, out: Path, number: int) -> Path:
    """Folder of an exam."""
    return out / {"dsbcc": dsbcc, "acdc": acdc}[recipe.layout].exam_folder(number)


def _claim(recipe: Recipe, out: Path) -> None:
    """Says at the root of the tree what it is made of; refuses a tree that is made of something else."""
    path = out / MANIFEST
    if path.exists():
        found = json.loads(path.read_text()).get("fingerprint")
        if found != recipe.fingerprint():
            raise InputError(
                f"{out} holds phantom exams made with other settings (fingerprint {found}, now "
                f"{recipe.fingerprint()}); give another folder, or remove this one"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    told = {"fingerprint": recipe.fingerprint(), "phantom": True, **asdict(recipe)}
    for identity in ("patient_name", "birth_date"):
        told.pop(identity)
    _publish(path, json.dumps(told, indent=2) + "\n")


def _publish(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _write_one(recipe: Recipe, out: Path, number: int) -> dict[str, object] | None:
    """Writes an exam beside its place and moves it there when it is complete. Returns its row of the set's table."""
    final = _place(recipe, out, number)
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if recipe.layout == "acdc":
        acdc.write_exam(recipe, number, partial)
        row = None
    else:
        dsbcc.write_exam(recipe, number, partial)
        row = dsbcc.table_row(recipe, number)
    os.replace(partial, final)
    return row


def _write_table(recipe: Recipe, out: Path, exams: int, new: dict[int, dict[str, object]]) -> None:
    """Writes ``train.csv``; rows of exams beyond this run's are kept."""
    path = out / "train.csv"
    rows = {}
    if path.exists():
        with path.open(newline="") as file:
            rows = {int(row["Id"]): row for row in csv.DictReader(file)}
    rows |= new
    for number in range(1, exams + 1):
        # a run that was killed before its table was written left exams without a row
        if number not in rows:
            rows[number] = dsbcc.table_row(recipe, number)
    text = io.StringIO()
    table = csv.DictWriter(text, ["Id", "Systole", "Diastole"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows[number] for number in sorted(rows))
    _publish(path, text.getvalue())
