"""Test DSBCC's layout; an exam does not depend on how many exams are written, and a stopped run resumes."""

import csv
from dataclasses import replace

import pydicom
import pytest
from planewise.errors import InputError
from planewise.workshop.phantoms import write_exams
from planewise.workshop.phantoms.heart.exam import plan_series


def _contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_table_has_the_volumes(dsbcc_tree, exam):
    with (dsbcc_tree / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Id"] for row in rows] == ["1", "2"]
    assert float(rows[0]["Diastole"]) == pytest.approx(exam.heart.patient.lv_edv, rel=0.02)
    assert float(rows[0]["Systole"]) == pytest.approx(exam.heart.volumes(0.37)["lv"], abs=0.1)


def test_an_exam_is_the_same_bytes_whatever_else_is_made(recipe, dsbcc_tree, tmp_path):
    # two workers, another number of exams, another process
    list(write_exams(recipe, tmp_path, 3, workers=2))
    for number in ("1", "2"):
        assert _contents(tmp_path / "train/train" / number) == _contents(dsbcc_tree / "train/train" / number)
    assert (tmp_path / "train/train/1").exists()


def test_resumes_where_it_stopped(recipe, tmp_path):
    list(write_exams(recipe, tmp_path, 1))
    root = tmp_path / "train/train"
    first = _contents(root / "1")
    # a killed run leaves partial files under another name
    (root / ".2.partial/study").mkdir(parents=True)
    (root / ".2.partial/study/left_over.dcm").write_bytes(b"half")
    assert dict(write_exams(recipe, tmp_path, 2)) == {1: False, 2: True}
    assert sorted(path.name for path in root.iterdir()) == ["1", "2"]
    assert not list(root.rglob("left_over.dcm"))
    assert _contents(root / "1") == first


def test_refuses_a_folder_of_another_recipe(recipe, dsbcc_tree):
    with pytest.raises(InputError, match=r"made with other settings .* name another folder"):
        list(write_exams(replace(recipe, seed=99), dsbcc_tree, 1))


def test_planted_identity_is_in_every_header_and_not_in_the_manifest(recipe, tmp_path):
    planted = replace(recipe, patient_name="Doe^Jane", birth_date="19580412")
    list(write_exams(planted, tmp_path, 1))
    for path in tmp_path.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.PatientName == "Doe^Jane" and header.PatientBirthDate == "19580412"
    manifest = (tmp_path / "phantom.json").read_text()
    assert "Doe" not in manifest and "19580412" not in manifest


def test_extra_views_are_what_they_are_whatever_they_are_called(recipe):
    names = {"3ch": set(), "rv_2ch": set(), "rvot": set()}
    small = replace(recipe, population=recipe.population.with_values(phases=1, spacing=(8.0, 8.0)))
    for number in range(1, 7):
        exam = small.exam(number)
        for view, series in zip(names, plan_series(exam, 1.0)[-3:], strict=True):
            assert series.pose is exam.poses[view][0]
            names[view].add(series.name)
    assert names["3ch"] == {"3ch", "4ch"} and names["rv_2ch"] == {"rv_2ch", "2ch"}
