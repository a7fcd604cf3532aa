"""Compare what indexing prints and writes, for every layout of phantoms, with stored outputs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.commands import app
from planewise.exams import find_stacks
from planewise.workshop.phantoms import LAYOUTS, Recipe, write_exams
from typer.testing import CliRunner

from tests.exams.conftest import write_usual_exam
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
        ("mrnet", 6, {"matrix": 32}, ("--anatomy", "knee", "--division", "folders")),
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


def test_side_files(tmp_path, assert_expected):
    """Masks, classes, a label map, sections and views that a person gives."""
    for number in range(1, 5):
        identity = {
            "PatientID": f"P-{number}",
            "StudyInstanceUID": f"1.2.{number}",
            "FrameOfReferenceUID": f"1.3.{number}",
        }
        write_usual_exam(
            tmp_path / f"hearts/case{number}", ("4ch", "2ch", "3ch"), 4, phases=3, size=(20, 16), **identity
        )
    stack = find_stacks(tmp_path / "hearts/case1")[0]["image"]
    affine = np.array(stack[0]["affine"])
    affine[:3, 2] = (np.array(stack[1]["affine"]) - affine)[:3, 3]
    for name, shape in (
        ("case1_ed", (20, 16, 4)),
        ("case2_frame03", (20, 16, 4)),
        ("case3_es", (20, 15, 4)),
        ("who", (20, 16, 3)),
    ):
        (tmp_path / "masks").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.ones(shape, "u1"), affine), tmp_path / f"masks/{name}.nii.gz")
    files = {
        "classes.csv": "exam,group,height,ES\ncase1,DCM,180.5,2\nP-2,NOR,,\nwho,HCM,160,\ncase3,NOR,1\ncase3,HCM,1,\n",
        "map.yaml": "{1: 3, 2: 1}\n",
        "sections.csv": "exam,section\ncase1,training\ncase2,validation\ncase3,test\nnobody,test\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    options = ["--labels", tmp_path / "masks", "--label-map", tmp_path / "map.yaml"]
    options += ["--classes", tmp_path / "classes.csv", "--sections", tmp_path / "sections.csv"]
    assert_expected("index_side_files.txt", indexed(tmp_path / "hearts", tmp_path, *options))
