"""Test that mistakes in datalists are found from their JSON and the names of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.studies.datalist_faults import missing_files, wrong_sections

PATH = Path("mine.json")
NEEDED = ["training", "test"]


def item(exam: str, patient: str = "") -> dict:
    return {"exam": exam, "image": f"{exam}.nii"} | ({"patient": patient} if patient else {})


GOOD = {"training": [item("a", "p"), item("a", "p")], "validation": [item("b", "q")], "test": [item("c", "r")]}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, None),
        ({"validation": []}, None),
        ({"planewise": {}, "exams": {}, "name": "MSD", "numTraining": 2, "modality": {"0": "CT"}}, None),
        ({"trainin": [item("d")]}, "trainin "),
        ({"extra": [item("d")]}, "extra"),
        ({"test": []}, "test"),
        ({"test": [item("a", "p")]}, "a in training and test"),
        ({"test": [item("d", "q")]}, "q in validation and test"),
        ({"test": [{"image": "x.nii"}], "validation": [{"image": "x.nii"}]}, "x.nii in validation and test"),
        # DSBCC's own test exams are for validation, too
        ({"test": [item("b", "q")], "exams": {"b": {"section": "validation and test"}}}, None),
        ({"test": [item("a", "p")], "exams": {"a": {"section": "validation and test"}}}, "a in training and test"),
    ],
)
def test_a_wrong_section_is_named(changes, named):
    found = wrong_sections(PATH, GOOD | changes, NEEDED)
    assert len(found) == (named is not None) and all(named in message for message in found), found


def test_an_empty_datalist_is_left_to_the_index():
    assert wrong_sections(PATH, {}, NEEDED) == [] and wrong_sections(PATH, {"training": []}, NEEDED) == []
    assert len(wrong_sections(PATH, [], NEEDED)) == 1


def test_absent_images_and_masks_are_named(tmp_path):
    content = {"training": [item("a") | {"label": "mask.nii"}], "test": [{"image": ["b0.nii", "b1.nii"]}]}
    for name in ("a.nii", "b0.nii", "b1.nii", "mask.nii"):
        (tmp_path / name).touch()
    assert missing_files(tmp_path / "mine.json", content) == ""
    for name in ("mask.nii", "b1.nii"):
        (tmp_path / name).unlink()
        assert name in missing_files(tmp_path / "mine.json", content)
    many = {"training": [{"image": f"{number}.nii"} for number in range(10_000)]}
    assert " 1667 " in missing_files(tmp_path / "mine.json", many), "of many files, some are looked for"


def test_a_class_is_not_a_missing_mask(tmp_path):
    (tmp_path / "a.nii").touch()
    for label, absent in (("hypertrophy", False), ("masks/hypertrophy", True), ("a_seg.nii", True)):
        content = {"training": [item("a") | {"label": label}]}
        assert bool(missing_files(tmp_path / "mine.json", content)) == absent
