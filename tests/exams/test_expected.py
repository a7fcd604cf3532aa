"""Compare what indexing prints and writes, for every layout of phantoms, with stored outputs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from planewise.commands import app
from planewise.workshop.phantoms import LAYOUTS, Recipe, write_exams
from typer.testing import CliRunner

from tests.expected_text import items_in_brief, masked, readable


@pytest.fixture(autouse=True)
def salt(own_caches, tmp_path):
    """A fixed salt, because the hashes of the exams depend on it."""
    (tmp_path / "salt").write_text("salt of these phantoms")


def indexed(root: Path, tmp_path: Path, *options) -> str:
    """What the command prints, and the datalist that it writes, with each exam's items in brief."""
    words = ["index", root, "-o", tmp_path / "list.json", *options]
    # wide enough for any folder's name
    outcome = CliRunner(env={"COLUMNS": "500"}).invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    # without the names of the exams' folders, exams that are equal otherwise have equal entries
    folder = re.escape(os.path.relpath(root, tmp_path))
    content = json.loads(re.sub(rf'"{folder}/[^/"]+/', '"*/', (tmp_path / "list.json").read_text()))
    for section in ("training", "validation", "test"):
        content[section] = items_in_brief(content[section])
    folders = tmp_path / "list_folders.csv"
    text = masked(outcome.stdout, ROOT=root, TMP=tmp_path)
    return f"{text}\n{readable(content)}\n{folders.read_text() if folders.exists() else ''}"


HEART = {"phases": 2, "spacing": (7.0, 7.5)}


@pytest.mark.parametrize(
    ("layout", "count", "values", "options"),
    [
        ("dsbcc", 1, HEART, ()),
        ("acdc", 5, HEART, ("--stratify", "label")),
        ("mnms2", 1, HEART, ()),
        ("ukbb", 2, HEART, ("--view", "4ch")),
        ("fastmri", 1, {"spacing": (4.0, 4.4)}, ("--anatomy", "knee")),
        ("mrnet", 6, {"matrix": 32}, ("--anatomy", "knee")),
        ("brats", 2, {"side": 12}, ("--anatomy", "volume")),
        ("msd", 3, {"side": 12}, ("--anatomy", "volume")),
        ("aptos", 3, {"side": 144}, ("--anatomy", "photograph")),
    ],
)
def test_layouts_and_options(layout, count, values, options, tmp_path, assert_expected):
    population = LAYOUTS[layout].population
    population = getattr(population, "demo", lambda: population)().with_values(**values)
    list(write_exams(Recipe(layout, 5, population), tmp_path / layout, count))
    name = "_".join([layout, *(word for word in options if word[0] != "-")])
    assert_expected(f"index_{name}.txt", indexed(tmp_path / layout, tmp_path, *options))
