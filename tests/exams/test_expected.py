"""Compare what indexing prints and writes, for every layout and defect of phantoms, with stored outputs."""

from __future__ import annotations

import json
import os
import re
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from planewise.commands import app
from planewise.exams import find_stacks
from planewise.phantoms import KNEE_LABELLED, KNEE_UNLABELLED, LABELLED, LAYOUTS, UNLABELLED, Recipe, write_exams
from planewise.phantoms.heart.defects import DEFECTS
from planewise.phantoms.knee.defects import KNEE_DEFECTS
from planewise.phantoms.knee.study import study_files as knee_files
from typer.testing import CliRunner

from tests.exams.conftest import write_usual_exam
from tests.expected_text import items_in_brief, masked, readable
from tests.phantoms.effects import flawed_files


@pytest.fixture(autouse=True)
def salt(own_caches, tmp_path):
    """A fixed salt, because the hashes of the exams depend on it."""
    (tmp_path / "salt").write_text("salt of these phantoms")


#: Defects that alter different files, so that one exam can have all of them.
OF_SINGLE_FILES = (
    "mosaic", "secondary_capture", "burnt_in", "structured_report", "not_dicom", "zero_byte", "truncated",
)  # fmt: skip


def write_with_defects(sound, defects, together, root: Path) -> Path:
    """Write an exam once for each defect to ``root/DEFECT``, each time for another patient; one exam has all defects of
    ``together``.
    """
    exam, identity, contents = sound
    alone = [(name,) for name in defects if name not in together]
    for number, names in enumerate([together, *alone] if together else [(), *alone], start=1):
        for file in flawed_files(contents, defects, names, exam, identity):
            path = root / (names[0] if names else "sound") / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.dataset is not None:
                _as_of_another_patient(file.dataset, number)
            path.write_bytes(file.encode())
    return root


@pytest.fixture(scope="module")
def heart_defects(sound_phantom, tmp_path_factory) -> Path:
    return write_with_defects(sound_phantom, DEFECTS, OF_SINGLE_FILES, tmp_path_factory.mktemp("exams") / "hearts")


def _as_of_another_patient(header: pydicom.Dataset, number: int) -> None:
    header.PatientID = header.PatientName = f"P-{number}"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        if keyword in header:
            header[keyword].value = f"{header[keyword].value}.{number}"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID


def printed(root: Path, tmp_path: Path, *options) -> str:
    """What the command prints."""
    words = ["index", root, "-o", tmp_path / "list.json", "--workers", 1, *options]
    # wide enough for any folder's name
    outcome = CliRunner(env={"COLUMNS": "500"}).invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    return masked(outcome.stdout, ROOT=root, TMP=tmp_path)


def indexed(root: Path, tmp_path: Path, *options) -> str:
    """What the command prints, and the datalist that it writes, with each exam's items in brief."""
    text = printed(root, tmp_path, *options)
    content = _without_folders((tmp_path / "list.json").read_text(), os.path.relpath(root, tmp_path))
    for section in ("training", "validation", "test"):
        content[section] = items_in_brief(content[section])
    folders = tmp_path / "list_folders.csv"
    return f"{text}\n{readable(content)}\n{folders.read_text() if folders.exists() else ''}"


def _without_folders(text: str, root: str) -> Any:
    """JSON without the names of the exams' folders, so that exams which are equal otherwise have equal entries."""
    return json.loads(re.sub(rf'"{re.escape(root)}/[^/"]+/', '"*/', text))


def test_hearts_with_every_defect(heart_defects, tmp_path, assert_expected):
    assert_expected("index_heart_defects.txt", indexed(heart_defects, tmp_path))


def test_stacks_for_inference_with_every_defect(heart_defects, tmp_path, assert_expected):
    left_out: list = []
    found = find_stacks(heart_defects, phases="all", left_out=left_out)
    content = {"found": _in_brief(found), "left out": _in_brief(left_out)}
    content = _without_folders(json.dumps(content, default=str), str(heart_defects))
    assert_expected("stacks_heart_defects.txt", readable(content))


def _in_brief(stacks) -> dict[str, dict]:
    """One entry for the phases of an exam."""
    by_exam: dict[tuple, list[dict]] = {}
    for stack in stacks:
        by_exam.setdefault((stack.exam, stack.stack), []).append(asdict(stack))
    brief = {}
    for entries in by_exam.values():
        slices = [{"exam": "", **one} for entry in entries for one in entry["slices"]]
        phases = [entry["phase"] for entry in entries]
        rest = {key: value for key, value in entries[0].items() if key != "exam"}
        brief[entries[0]["exam"]] = {
            **rest,
            "phase": phases,
            "slices": items_in_brief(slices)[""],
        }
    return brief


def test_knees_with_every_defect(tmp_path, assert_expected):
    root = tmp_path / "knees"
    recipe = Recipe("fastmri", 6, KNEE_UNLABELLED.at_size("demo").with_values(spacing=(4.0, 4.4)))
    exam, identity = recipe.exam(1), recipe.identity(1)
    files = knee_files(exam, identity)
    write_with_defects((exam, identity, [(file, file.encode()) for file in files]), KNEE_DEFECTS, [], root)
    options = ("--anatomy", "knee")
    assert_expected("index_knee_defects.txt", indexed(root, tmp_path, *options))
    other = printed(root, tmp_path, *options, "--contrast", "any", "--all-views")
    assert_expected("index_knee_any_contrast.txt", other)


@pytest.mark.parametrize("layout", ["mnms2", "ukbb"])
def test_hearts_in_nifti_with_every_defect(layout, tmp_path, assert_expected):
    root, form = tmp_path / layout, LAYOUTS[layout]
    recipe = Recipe(layout, 4, form.population.at_size("demo").with_values(phases=3, spacing=(7.0, 7.5)))
    exam, identity = recipe.exam(1), recipe.identity(1)
    files = form.writer.exam_files(*(exam, "001")[: 1 if layout == "ukbb" else 2])
    rows = []
    for number, name in enumerate(["", *form.defects], start=1):
        (place,) = form.writer.exam_paths(recipe, number)
        (root / place).mkdir(parents=True)
        own = [replace(file, name=file.name.replace("001_", f"{number:03d}_")) for file in deepcopy(files)]
        for file in form.defects[name].alter(own, exam, identity) if name else own:
            file.write(root / place)
        if layout == "mnms2" and name != "no_table":
            rows.append(
                f"{number if name == 'plain_codes' else f'{number:03d}'},{'NOR' if number % 2 else 'HCM'},a,b,1.5"
            )
    if rows:
        (root / "dataset_information.csv").write_text(
            "\n".join(["SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD", *rows, ",,,,"])
        )
    assert_expected(f"index_{layout}_defects.txt", indexed(root, tmp_path))
    if layout == "ukbb":
        options = ("--view", "4ch", "--division", "hash", "--seed", 3)
        assert_expected("index_ukbb_4ch.txt", printed(root, tmp_path, *options))


@pytest.mark.parametrize(
    ("layout", "anatomy", "options"),
    [
        ("brats", "volume", {"side": 12, "radius": (25.0, 30.0)}),
        ("msd", "volume", {"side": 12}),
        ("aptos", "photograph", {"side": 144}),
    ],
)
def test_volumes_and_photographs_with_every_defect(layout, anatomy, options, tmp_path, assert_expected):
    form = LAYOUTS[layout]
    for number, name in enumerate(["", *form.defects], start=1):
        recipe = Recipe(layout, number, form.population.with_values(**options), defects=(name,) if name else ())
        list(write_exams(recipe, tmp_path / layout / (name or "sound"), 1))
    assert_expected(f"index_{layout}_defects.txt", indexed(tmp_path / layout, tmp_path, "--anatomy", anatomy))


@pytest.mark.parametrize(
    ("layout", "population", "options"),
    [
        ("acdc", LABELLED.at_size("demo").with_values(phases=2, spacing=(7.0, 7.5)), ("--stratify", "label")),
        ("mrnet", KNEE_LABELLED.at_size("demo").with_values(matrix=32), ("--anatomy", "knee", "--division", "folders")),
        ("dsbcc", UNLABELLED.at_size("demo").with_values(phases=2, spacing=(7.0, 7.5)), ("--anatomy", "any")),
        ("dsbcc", UNLABELLED.at_size("demo").with_values(phases=2, spacing=(7.0, 7.5)), ("--anatomy", "volume")),
    ],
)
def test_layouts_and_options(layout, population, options, tmp_path, assert_expected):
    count = {"acdc": 5, "mrnet": 6, "dsbcc": 1}[layout]
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
    stack = find_stacks(tmp_path / "hearts/case1")[0].slices
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
        "classes.csv": "exam,group,height,ES\ncase1,DCM,180.5,2\nP-2,NOR,,\nwho,HCM,160,\ncase3,NOR,1\ncase3,HCM,1,,\n",
        "map.yaml": "{1: 3, 2: 1}\n",
        "sections.csv": "exam,section\ncase1,training\ncase2,validation\ncase3,test\nnobody,test\n",
        "views.yaml": "case4:\n  4ch: none\n  2ch: 3ch_10\ncase3:\n  rv2ch: sax\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    options = ["--labels", tmp_path / "masks", "--label-map", tmp_path / "map.yaml", "--views", tmp_path / "views.yaml"]
    options += ["--classes", tmp_path / "classes.csv", "--sections", tmp_path / "sections.csv"]
    assert_expected("index_side_files.txt", indexed(tmp_path / "hearts", tmp_path, *options))
