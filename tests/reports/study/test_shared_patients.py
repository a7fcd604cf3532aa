"""Test which patients two datalists have in common: by their names, their files, or copies of their files."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams.datalist import write_datalist
from planewise.findings import finding
from planewise.workshop.study.shared_patients import seen_before, shared_patients

from tests.exams.conftest import write_usual_exam


@pytest.fixture()
def write(tmp_path):
    """Write a datalist: patients by section, each with the bytes of its image."""

    def written(name, **sections):
        content = {}
        for section, patients in sections.items():
            content[section] = []
            for patient, voxels in patients.items():
                file = tmp_path / name / f"{patient}.nii"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(voxels)
                content[section].append({"image": f"{name}/{patient}.nii", "patient": patient})
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    return written


def test_names_files_and_copies(write, tmp_path):
    black = bytes(300_000)
    first = write("a", training={"p1": b"one", "p2": b"two", "p3": black}, test={"p4": b"four"})
    second = write("b", training={"p1": b"other"}, validation={"x": b"two"}, test={"y": b"four", "z": black})
    found = {"p2": "validation", "p3": "test", "p4": "test"}
    assert shared_patients(first, second, names=False) == found
    assert shared_patients(first, second) == {"p1": "training", **found}
    # the same file in a list for each channel, from another folder
    items = [{"image": ["a/p1.nii", "a/p2.nii"], "exam": "e"}]
    (tmp_path / "c.json").write_text(json.dumps({"test": items}))
    assert shared_patients(first, tmp_path / "c.json", names=False) == {"p1": "test", "p2": "test"}
    assert shared_patients(tmp_path / "c.json", first, names=False) == {"e": "training"}


def test_a_patient_in_several_sections_counts_for_the_last(write):
    first = write("a", training={"p": b"one"})
    second = write("b", training={"q": b"one"}, test={"r": b"one"}, validation={"s": b"one"})
    assert shared_patients(first, second) == {"p": "test"}


def test_tests_that_pretexts_learn_from(write, tmp_path):
    labelled = write("b", training={"t": b"five"}, test={"q": b"one", "r": b"two!", "s": b"three"})
    unlabelled = write("a", training={"p": b"one", "t": b"five"}, validation={"u": b"three"}, test={"v": b"two!"})
    assert seen_before(unlabelled, labelled) == finding("test-patients-seen", seen=2, count=3)
    assert seen_before(labelled, labelled) is None
    (tmp_path / "a/p.nii").unlink()
    assert seen_before(unlabelled, labelled)["seen"] == 1
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json"):
        seen_before(tmp_path / "broken.json", labelled)


def test_names_of_dicom_count(write, tmp_path):
    """A PatientID names a patient; the number of a NIfTI file does not."""
    for ending, seen in ((".dcm", 1), (".nii.gz", 0)):
        for name, section in (("a", "training"), ("b", "test")):
            items = [{"image": f"{name}/1{ending}", "patient": "p"}]
            (tmp_path / f"{name}{ending}.json").write_text(json.dumps({section: items}))
        found = seen_before(tmp_path / f"a{ending}.json", tmp_path / f"b{ending}.json")
        assert (found["seen"] if found else 0) == seen


def _anonymised(folder: Path, to: Path) -> None:
    """Copy DICOM files of one patient under another name, compressed again."""
    for path in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PatientID, dataset.StudyInstanceUID = f"P-{to.name}", f"{dataset.StudyInstanceUID}.1"
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        (file := to / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(file)


def test_an_anonymised_copy_of_dicom_files_is_the_same(tmp_path):
    for number, name in enumerate(("first", "other")):
        write_usual_exam(tmp_path / name, PatientID=f"P-{name}", StudyInstanceUID=f"1.2.{number}")
    _anonymised(tmp_path / "first", tmp_path / "again")
    for name in ("first", "again", "other"):
        write_datalist(index_folder(tmp_path / name).datalist, tmp_path / f"{name}.json")
    lists = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("first", "again", "other")}
    (patient,) = {exam["patient"] for exam in lists["first"]["exams"].values()}
    found = [shared_patients(tmp_path / "first.json", tmp_path / f"{name}.json") for name in ("again", "other")]
    assert [found[0].keys(), found[1]] == [{patient}, {}]
