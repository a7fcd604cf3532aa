"""Test which patients two datalists have in common: by their names, their files, or copies of their files."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams import shared_patients as module
from planewise.exams.shared_patients import seen_before, seen_tests, shared_patients

from tests.exams.conftest import write_usual_exam
from tests.exams.files import write_image


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
    assert shared_patients(first, second) == {"p1": "training"}
    found = {"p2": "validation", "p3": "test", "p4": "test"}
    assert shared_patients(first, second, names=False, read=True) == found
    assert shared_patients(first, second, read=True) == {"p1": "training", **found}
    # the same file in a list for each channel, from another folder
    items = [{"image": ["a/p1.nii", "a/p2.nii"], "exam": "e"}]
    (tmp_path / "c.json").write_text(json.dumps({"test": items}))
    assert shared_patients(first, tmp_path / "c.json", names=False) == {"p1": "test", "p2": "test"}
    assert shared_patients(tmp_path / "c.json", first, names=False) == {"e": "training"}


def test_a_volume_saved_again_is_the_same(tmp_path):
    """The copies are compressed or have another type of number. The first slices of all volumes are black."""
    one, other = np.random.default_rng(0).integers(0, 9, (2, 30, 20, 8), dtype="i2")
    one[..., :4] = other[..., :4] = 0
    files = {"a.nii.gz": one, "b.nii": one, "c.nii.gz": one.astype("f4"), "d.nii.gz": other}
    for name, voxels in files.items():
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / name)
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": [{"image": name, "patient": name}]}))
    found = [shared_patients(tmp_path / "a.nii.gz.json", tmp_path / f"{name}.json", read=True) for name in files]
    assert found == [{"a.nii.gz": "test"}] * 3 + [{}]
    colours = np.zeros((9, 9, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "b.nii")
    assert shared_patients(tmp_path / "b.nii.json", tmp_path / "b.nii.json", names=False, read=True) == {
        "b.nii": "test"
    }
    (tmp_path / "b.nii").write_bytes(b"no such file")
    assert shared_patients(tmp_path / "a.nii.gz.json", tmp_path / "b.nii.json", read=True) == {}


@pytest.mark.parametrize("place", [0, 150_000, 299_999])
def test_one_byte_makes_another_image(place, write):
    """Files of one size with the same header and the same black corner are not the same."""
    changed = bytearray(300_000)
    changed[place] = 1
    first, second = write("a", training={"p": bytes(300_000)}), write("b", test={"q": bytes(changed)})
    assert shared_patients(first, second, read=True) == {}


def test_a_patient_in_several_sections_counts_for_the_last(write):
    first = write("a", training={"p": b"one"})
    second = write("b", training={"q": b"one"}, test={"r": b"one"}, validation={"s": b"one"})
    assert shared_patients(first, second, read=True) == {"p": "test"}


def test_tests_that_pretexts_learn_from(write, tmp_path):
    labelled = write("b", training={"t": b"five"}, test={"q": b"one", "r": b"two!", "s": b"three"})
    unlabelled = write("a", training={"p": b"one", "t": b"five"}, validation={"u": b"three"}, test={"v": b"two!"})
    assert seen_before(unlabelled, labelled) == "", "names of data sets repeat, and no file is the same"
    assert seen_before(unlabelled, labelled, read=True) == (
        "2 of 3 patients in the test section of the labelled images have images in the training or validation section of the "
        "unlabelled images"
    )
    assert seen_before(labelled, labelled, read=True) == ""
    (tmp_path / "a/p.nii").unlink()
    assert seen_before(unlabelled, labelled, read=True).startswith("1 of 3 patients")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json"):
        seen_before(tmp_path / "broken.json", labelled)


def test_names_of_dicom_count(write, tmp_path):
    """A PatientID names a patient; the number of a NIfTI file does not."""
    for ending, seen in ((".dcm", 1), (".nii.gz", 0)):
        for name, section in (("a", "training"), ("b", "test")):
            items = [{"image": f"{name}/1{ending}", "patient": "p"}]
            (tmp_path / f"{name}{ending}.json").write_text(json.dumps({section: items}))
        assert seen_tests(tmp_path / f"a{ending}.json", tmp_path / f"b{ending}.json") == (seen, 1)


def test_what_was_compared_is_not_read_again(write, tmp_path, monkeypatch):
    first, second = write("a", training={"p": b"one", "q": b"two"}), write("b", test={"x": b"one", "y": b"2nd"})
    kept, read, content = tmp_path / "new/kept.json", [], module._content
    monkeypatch.setattr(module, "_content", lambda path, size: read.append(path) or content(path, size))
    for changed, count in (("", 4), ("", 0), ("b/y.nii", 1), ("", 0), ("code", 4), ("", 0)):
        if changed == "code":
            monkeypatch.setattr(module, "code_sha256", lambda **rooms: "another version")
        elif changed:
            (tmp_path / changed).write_bytes(b"two")
            os.utime(tmp_path / changed, (1, 1))
        read.clear()
        found = shared_patients(first, second, read=kept)
        assert found.keys() == ({"p", "q"} if (tmp_path / "b/y.nii").read_bytes() == b"two" else {"p"})
        assert len(read) == count
    assert str(tmp_path) not in kept.read_text(), "paths may name patients"
    kept.write_text("{")
    assert shared_patients(first, second, read=kept) == {"p": "test", "q": "test"}


def test_a_photograph_saved_again_is_the_same(tmp_path):
    """Its bytes and its name are others, its pixels are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=9)
    Image.fromarray(pixels).save(tmp_path / "b.png", compress_level=0)
    Image.fromarray(pixels ^ 1).save(tmp_path / "c.png")
    for name in "abc":
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": [{"image": f"{name}.png", "patient": name}]}))
    kept = tmp_path / "kept.json"
    for _ in range(2):
        assert shared_patients(tmp_path / "a.json", tmp_path / "b.json", read=kept) == {"a": "test"}
    assert shared_patients(tmp_path / "a.json", tmp_path / "c.json", read=kept) == {}


def _slices(seed):
    return np.random.default_rng(seed).poisson(20, (40, 30, 7, 3)).astype("u2")


def test_copies_in_other_files_are_the_same(tmp_path):
    """A frame of a cine, flipped and rescaled; and DICOM files that were anonymised and compressed again, or converted."""
    for name, voxels in {
        "cine": _slices(0),
        "flipped": _slices(0)[::-1, :, ::-1, 1].transpose(2, 0, 1) / 7.5,
        "other": _slices(1)[..., 0],
        "converted": _slices(2)[..., 0],
    }.items():
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
        items = [{"image": f"{name}.nii.gz", "patient": name}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": items}))
    for name, seed in {"again": 2, "first": 2, "another": 3}.items():
        items = []
        for rank in range(7):
            pixels = _slices(seed)[:, :, rank, 0].tobytes()
            write_image(
                tmp_path / name / f"{rank}.dcm", (0, 0, rank), (1, 0, 0), (0, 1, 0), size=(30, 40), PixelData=pixels
            )
            if name == "again":
                dataset = pydicom.dcmread(tmp_path / name / f"{rank}.dcm")
                dataset.PatientID = "anonymous"
                dataset.compress(pydicom.uid.RLELossless)
                dataset.save_as(tmp_path / name / f"{rank}.dcm")
            items.append({"image": f"{name}/{rank}.dcm", "slice": rank, "exam": name, "patient": name})
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": items}))
    for first, second, other in (
        ("cine", "flipped", "other"),
        ("first", "again", "another"),
        ("first", "converted", "other"),
        ("converted", "first", "another"),
    ):
        assert shared_patients(tmp_path / f"{first}.json", tmp_path / f"{second}.json", read=True) == {first: "test"}
        assert shared_patients(tmp_path / f"{first}.json", tmp_path / f"{other}.json", read=True) == {}


def test_dicom_images_are_read_only_if_a_copy_may_be_in_the_other_datalist(tmp_path, monkeypatch):
    """Two DICOM exams have the same sides, but only copies are in the same place. A volume has the sides of its slices."""
    for name, seed, left in (("one", 0, 0.0), ("copy", 0, 0.04), ("other", 0, 30.0)):
        items = []
        for rank in range(7):
            file = tmp_path / name / f"{rank}.dcm"
            pixels = _slices(seed)[:, :, rank, 0].tobytes()
            write_image(file, (left, 0, rank), (1, 0, 0), (0, 1, 0), size=(30, 40), PixelData=pixels)
            affine = np.diag([10.0, 10, 1, 1])
            affine[:3, 3] = left - 145, -195, rank
            entry = {"image": f"{name}/{rank}.dcm", "affine": affine.tolist(), "slice": rank}
            items += [entry | {"exam": name, "patient": name}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": items}))
    for name, shape in (("volume", (7, 40, 30)), ("small", (7, 40, 29))):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, "i2"), np.eye(4)), tmp_path / f"{name}.nii")
        (tmp_path / f"{name}.json").write_text(json.dumps({"test": [{"image": f"{name}.nii", "patient": name}]}))
    read, content = [], module._content
    monkeypatch.setattr(module, "_content", lambda path, size: read.append(path) or content(path, size))
    for other, found, count in (("copy", {"one": "test"}, 2), ("other", {}, 0), ("volume", {}, 2), ("small", {}, 0)):
        read.clear()
        assert shared_patients(tmp_path / "one.json", tmp_path / f"{other}.json", names=False, read=True) == found
        assert len(read) == count


def test_copies_in_one_folder_are_one_patient(tmp_path):
    """Repeated series and phases are not copies, and an image that many patients have says nothing about them."""
    for name, seed in {"p1": 0, "copy": 0, "p2": 1, **{f"same{number}": 2 for number in range(4)}}.items():
        nibabel.save(nibabel.Nifti1Image(_slices(seed)[..., 0], np.eye(4)), tmp_path / f"{name}.nii.gz")
    found = index_folder(tmp_path, anatomy="volume")
    assert len({exam["patient"] for exam in found.datalist["exams"].values()}) == 6
    assert sum("aliases" in exam for exam in found.datalist["exams"].values()) == 1
    assert any("copy = p1" in line for line in found.warnings)


def test_a_dicom_copy_with_rounded_positions_is_found(tmp_path):
    pixels = np.arange(480, dtype="<u2").tobytes()
    for number, name in enumerate(("whole", "rounded")):
        write_usual_exam(tmp_path / name, PatientID=name, StudyInstanceUID=f"1.2.{number}", PixelData=pixels)
    for path in (tmp_path / "rounded").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient = [f"{value:.1f}" for value in dataset.ImagePositionPatient]
        dataset.save_as(path)
    assert any("whole = " in line or "rounded = " in line for line in index_folder(tmp_path).warnings)


def test_a_table_names_a_copy_by_its_own_patient_id(tmp_path):
    pixels = np.arange(480, dtype="<u2").tobytes()
    for number, name in enumerate(("east", "west", "far")):
        values = {"PixelData": pixels} if name != "far" else {}
        write_usual_exam(tmp_path / "exams" / name, PatientID=f"P-{name}", StudyInstanceUID=f"1.2.{number}", **values)
    classes, sections = tmp_path / "classes.csv", tmp_path / "sections.csv"
    classes.write_text("exam,group\nP-east,DCM\nP-west,HCM\nP-far,NOR\n")
    sections.write_text("exam,section\nP-west,test\nP-far,training\n")
    found = index_folder(tmp_path / "exams", classes=classes, sections=sections)
    assert any("east = exams/west" in line for line in found.warnings)
    assert found.unmatched == []
    groups = {(item["image"].split("/")[-3], item["group"]) for item in found.datalist["test"]}
    assert groups == {("east", "DCM"), ("west", "HCM")}
