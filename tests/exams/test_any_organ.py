"""Test stacks of any organ: all suitable ones are taken, in one direction, with reasons for the others."""

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.exams import index_folder
from planewise.exams.any_organ import axis, recognise
from planewise.findings import Finding, finding, from_record

from tests.exams.files import write_cine
from tests.exams.hearts import make_stack

SECTIONS = ("training", "validation", "test")


def index(folder, **options):
    return index_folder(folder, anatomy="any", **options)


def items_of(result, exam=None):
    items = [item for section in SECTIONS for item in result.datalist[section]]
    return [item for item in items if exam in (None, item["exam"])]


def left_out(result) -> Counter[Finding]:
    return Counter(from_record(record) for exam in result.datalist["exams"].values() for record in exam["left_out"])


def stack_of(count, normal=(0, 0, 1.0), **values):
    return make_stack(5.0 * np.arange(count)[:, None] * np.asarray(normal, float), normal, **values)


def test_the_largest_stack_but_no_localizer():
    stacks = [stack_of(4), stack_of(9), stack_of(30, text="localizer"), stack_of(3)]
    found = recognise(stacks)
    assert (found.stack, found.confidence) == (1, 1.0)


def test_slices_are_counted_to_the_left_the_front_or_the_head():
    for sign in (1, -1):
        assert axis(stack_of(4, (sign, 0, 0))).tolist() == [-1, 0, 0]
        assert axis(stack_of(4, (0, sign, 0))).tolist() == [0, 1, 0]
        assert axis(stack_of(4, (0, 0, sign))).tolist() == [0, 0, 1]
    assert axis(stack_of(4, (1, 1, 0))) is None


def _study(patient):
    return f"1.2.9.{int.from_bytes(patient.encode(), 'big')}"


def write_study(folder, patient="P-1", **tags):
    """Write a localizer, and three series along the body's axes that run against the direction in which slices count."""
    tags |= {"PatientID": patient, "StudyInstanceUID": _study(patient), "TriggerTime": None}
    for number, (name, normal) in enumerate({"sag": (1, 0, 0), "cor": (0, -1, 0), "tra": (0, 0, -1)}.items(), start=1):
        write_cine(folder / name, (0, 0, 0), normal, phases=1, slices=5, number=number, **tags)
        write_cine(
            folder / f"loc_{name}",
            (0, 0, 0),
            normal,
            phases=1,
            slices=3,
            number=9,
            **tags,
            ImageType="ORIGINAL\\LOCALIZER",
        )
    return folder


def test_a_study_gives_an_exam_for_each_series(tmp_path):
    write_study(tmp_path / "study")
    result = index(tmp_path)
    assert len(result.datalist["exams"]) == 3
    assert len({item["patient"] for item in items_of(result)}) == 1
    for exam in result.datalist["exams"]:
        own = items_of(result, exam)
        assert [item["slice"] for item in own] == [0, 1, 2, 3, 4]
        assert [item["location"] for item in own] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
        assert all(item["planes"] == {} and item["stack"] == "stack" for item in own)
        first, last = (np.array(item["affine"])[:3, 3] for item in (own[0], own[-1]))
        way = (last - first) * (-1, 1, 1)
        assert way.max() == pytest.approx(40) and way.min() > -1, "the slices run to the left, the front or the head"
    assert result.datalist["planewise"] | {"version": 1} == {
        "version": 1, "anatomy": "any", "stack": "stack", "views": [], "seed": 0,
    }  # fmt: skip
    folders = {folder.name for folder, _ in result.places.values()}
    assert folders == {"sag", "cor", "tra"}, "the private table says which series an exam is"


def write_nifti(path, shape=(6, 5, 4), affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([2.0, 2, 5, 1]) if affine is None else affine
    largest = 3 if path.parent.name == "masks" or "_seg" in path.name else 400
    values = np.random.default_rng(len(path.name)).integers(0, largest + 1, shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_a_file_without_orientation_is_kept_without_locations(tmp_path):
    folder = tmp_path / "nifti"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), None), folder / "a.nii.gz")
    write_nifti(folder / "b.nii.gz")
    result = index(folder)
    reason = finding("image-not-used", kind="unoriented")
    assert {why: count for why, (count, _) in result.skipped.items()} == {reason: 1}
    whole = [item for item in items_of(result) if "affine" not in item]
    assert [Path(item["image"]).name for item in whole] == ["a.nii.gz"]
    assert result.datalist["exams"][whole[0]["exam"]]["volumes"] == 1


def test_masks_of_registered_volumes_go_by_name_alone(tmp_path):
    for name in "ab":
        write_nifti(tmp_path / "images" / f"{name}.nii.gz")
        write_nifti(tmp_path / "masks" / f"{name}_label.nii.gz")
    write_nifti(tmp_path / "masks" / "c_label.nii.gz")
    result = index(tmp_path, labels_dir=tmp_path / "masks")
    assert {(Path(item["image"]).name[0], Path(item["label"]).name[0]) for item in items_of(result)} == {
        ("a", "a"), ("b", "b"),
    }  # fmt: skip
    assert [name for name, _ in result.unmatched] == ["c_label.nii.gz"]
