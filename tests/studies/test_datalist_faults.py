"""Test that mistakes in datalists are found from their JSON and the names of their files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.studies.datalist_faults import missing_files, wrong_sections

PATH = Path("mine.json")
NEEDED = ["training", "test"]


def item(exam: str, patient: str = "") -> dict:
    return {"exam": exam, "image": f"{exam}.nii"} | ({"patient": patient} if patient else {})


GOOD = {"training": [item("a", "p"), item("a", "p")], "validation": [item("b", "q")], "test": [item("c", "r")]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"validation": []}, None),
        ({"planewise": {}, "exams": {}, "name": "MSD", "numTraining": 2, "modality": {"0": "CT"}}, None),
        ({"trainin": [item("d")]}, r".* unknown section trainin \(did you mean training\?\); the sections are .*"),
        ({"extra": [item("d")]}, "mine.json has an unknown section extra; the sections are training, validation, test"),
        ({"test": []}, r"section test of mine.json is empty \(sections with exams: training and validation\), .*"),
        ({"test": [item("a", "p")]}, "mine.json has 1 exam in several sections, such as a in training and test, so .*"),
        (
            {"test": [item("d", "q")]},
            "mine.json has 1 patient in several sections, such as q in validation and test, .*",
        ),
        (
            {"test": [{"image": "x.nii"}], "validation": [{"image": "x.nii"}]},
            ".* 1 exam in .* x.nii in validation and .*",
        ),
        # DSBCC's own test exams are for validation, too
        ({"test": [item("b", "q")], "exams": {"b": {"section": "validation and test"}}}, None),
        (
            {"test": [item("a", "p")], "exams": {"a": {"section": "validation and test"}}},
            ".* a in training and test, .*",
        ),
    ],
)
def test_a_wrong_section_is_named(changes, said):
    found = wrong_sections(PATH, GOOD | changes, NEEDED)
    assert len(found) == (said is not None) and (said is None or re.fullmatch(said, found[0])), found


def test_an_empty_datalist_is_left_to_the_index():
    assert wrong_sections(PATH, {}, NEEDED) == [] and wrong_sections(PATH, {"training": []}, NEEDED) == []
    assert wrong_sections(PATH, [], NEEDED) == [
        "mine.json contains a list; it must be an object with sections of items"
    ]


def test_absent_images_and_masks_are_named(tmp_path):
    content = {"training": [item("a") | {"label": "mask.nii"}], "test": [{"image": ["b0.nii", "b1.nii"]}]}
    for name in ("a.nii", "b0.nii", "b1.nii", "mask.nii"):
        (tmp_path / name).touch()
    assert missing_files(tmp_path / "mine.json", content) == ""
    (tmp_path / "mask.nii").unlink()
    said = missing_files(tmp_path / "mine.json", content)
    assert said.startswith(
        f"1 file of {tmp_path}/mine.json does not exist, of 4 that were looked for: mask.nii. Correct"
    )
    (tmp_path / "b1.nii").unlink()
    said = missing_files(tmp_path / "mine.json", content)
    assert said.startswith(f"2 files of {tmp_path}/mine.json do not exist, of 4 that were looked for: b1.nii, .... ")
    many = {"training": [{"image": f"{number}.nii"} for number in range(10_000)]}
    assert "of 1667 that" in missing_files(tmp_path / "mine.json", many), "of many files, some are looked for"


def test_a_class_is_not_a_missing_mask(tmp_path):
    (tmp_path / "a.nii").touch()
    for label, absent in (("hypertrophy", False), ("masks/hypertrophy", True), ("a_seg.nii", True)):
        content = {"training": [item("a") | {"label": label}]}
        assert bool(missing_files(tmp_path / "mine.json", content)) == absent
