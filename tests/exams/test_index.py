"""Test indexing of whole folders, real and with damaged phantom exams, and what inference receives from it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from planewise.exams import find_stacks, index_folder, refusals
from planewise.findings import Finding, finding, from_record
from planewise.phases import phase_name
from pydicom.uid import generate_uid

from tests.exams import damage
from tests.exams.conftest import write_usual_exam
from tests.exams.files import write_cine
from tests.exams.hearts import USUAL_AXIS, rotation
from tests.exams.told import why_not

SECTIONS = ("training", "validation", "test")


def items_of(result):
    return [item for section in SECTIONS for item in result.datalist[section]]


def only_exam(result) -> dict:
    (exam,) = result.datalist["exams"].values()
    return exam


def told(exam: dict) -> list[Finding]:
    return [*map(from_record, exam["left_out"])]


def test_real_cardiac_exam(real_data):
    result = index_folder(real_data / "cardiac_cine_exam")
    stacks = only_exam(result)["stacks"]
    views = {name: Path(stack["items"][0]["image"]).parent.name for name, stack in stacks.items() if "items" in stack}
    assert views == {"4ch": "Se6", "3ch": "Se7", "2ch": "Se8", "rv2ch": "Se9", "rvot": "Se10"}
    by_slice = {item["slice"]: Path(item["image"]).parent.name for item in items_of(result)}
    assert [by_slice[rank] for rank in range(6)] == ["Se11", "Se1", "Se2", "Se3", "Se4", "Se5"]
    assert stacks["sax"]["spacing"] == pytest.approx(17.7, abs=0.01)
    assert min(stack["confidence"] for stack in stacks.values()) > 0.9
    assert len(items_of(result)) == 30


def test_real_files_with_frames_of_reference_of_their_own(real_data):
    """Sunnybrook: an old OsiriX wrote a frame of reference and an empty Per-Frame Functional Groups Sequence to each file."""
    result = index_folder(real_data / "sunnybrook" / "dicom")
    stacks = [exam["stacks"] for exam in result.datalist["exams"].values()]
    assert sorted((s["sax"]["slices"], s["sax"]["phases"], s["sax"]["spacing"]) for s in stacks) == [
        (12, [20, 20], pytest.approx(10, abs=0.01)), (13, [20, 20], pytest.approx(10, abs=0.01)),
    ]  # fmt: skip
    for item in items_of(result):
        number = int(Path(item["image"]).stem)
        assert item["phase"] == pytest.approx((number - 1) % 20 / 20), "files are numbered by slice, then by phase"
        assert item["location"] == pytest.approx(
            item["slice"] / (11 if "SCD0000101" in item["image"] else 12), abs=1e-4
        )
        assert (number - 1) // 20 == item["slice"], "from base to apex"


@pytest.mark.parametrize(
    ("heart", "kept"),
    [
        (True, {"sax", "lost", "big", "mirrored"}),
        (False, {"sax", "straight", "small", "big", "lost", "mirrored", "across"}),
    ],
)
def test_what_cannot_be_a_heart_is_left_out_of_a_heart_s_datalist(tmp_path, heart, kept):
    """Without hearts next to them, straight files may have lost their orientation, and oblique ones may be mirrored."""
    if heart:
        write_usual_exam(tmp_path / "heart")
    sax = np.eye(4)
    sax[:3, 2] = 8 * USUAL_AXIS
    sax[:3, 0] = np.cross([0, 0, 1], USUAL_AXIS)
    sax[:3, 1] = np.cross(USUAL_AXIS, sax[:3, 0])
    tilted, across, straight = np.eye(4), np.eye(4), np.diag([1.5, 1.5, 8, 1])
    tilted[:3, :3] = rotation(np.array([1.0, 0, 0]), 5)
    across[:3, :3] = rotation(np.array([1.0, 0, 0]), -45)
    mirrored = np.diag([1, 1, -1, 1]) @ sax
    # name, affine, drawn voxels along i and j, codes of sform and qform
    for name, affine, drawn, code in (
        ("sax", sax, 0, 1), ("straight", straight, 0, 1), ("small", straight, 6, 1), ("big", straight, 20, 1),
        ("lost", straight, 0, 0), ("tilted", tilted, 0, 1), ("labelled", tilted, 20, 1), ("mirrored", mirrored, 20, 1),
        ("across", across, 0, 1),
    ):  # fmt: skip
        mask = np.zeros((20, 24, 6), "u1")
        mask[:drawn, :drawn] = 1
        for file, voxels in ((f"{name}.nii.gz", np.zeros((20, 24, 6), "i2")), (f"{name}_gt.nii.gz", mask)):
            (tmp_path / "nifti").mkdir(exist_ok=True)
            image = nibabel.Nifti1Image(voxels, affine)
            image.set_sform(affine, code=code)
            image.set_qform(affine, code=code)
            if drawn or "_gt" not in file:
                nibabel.save(image, tmp_path / "nifti" / file)
    result = index_folder(tmp_path)
    whole = {item["exam"]: Path(item["image"]).name[:-7] for item in items_of(result) if "affine" not in item}
    assert set(whole.values()) == kept
    assert result.skipped[finding("image-not-used", kind="organ")][0] == 9 - len(kept)
    # those that are left out are in no section
    assert len(result.datalist["exams"]) == len(kept) + heart


#: Maps damage to (files left out for a reason, number of remarks on the exam, its views).
SOUND = {"sax", "2ch", "4ch"}
EXPECTED = {
    damage.without("SeriesInstanceUID"): ({}, 0, SOUND),
    damage.without("TriggerTime"): ({}, 0, SOUND),
    damage.without("FrameOfReferenceUID"): ({}, 1, SOUND),
    damage.without("PixelSpacing", "4ch"): ({refusals.BAD_GEOMETRY: 3}, 1, {"sax", "2ch"}),
    damage.enhanced: ({}, 0, SOUND),
    damage.missing_view: ({}, 0, {"sax", "2ch"}),
    damage.black: ({}, 0, SOUND),
    damage.identity: ({}, 0, SOUND),
}


@pytest.mark.parametrize(("harm", "expected"), EXPECTED.items())
def test_damaged_exams(flawed, harm, expected):
    skipped, remarks, views = expected
    folder = flawed()
    harm(folder / "7")
    result = index_folder(folder)
    exam = only_exam(result)
    assert {name for name in exam["stacks"] if not name.startswith("other")} == views
    assert len(exam["left_out"]) == remarks, exam["left_out"]
    if skipped is not None:
        assert {reason: count for reason, (count, _) in result.skipped.items()} == skipped
    assert all(0 <= item["location"] <= 1 and 0 <= item["phase"] < 1 for item in items_of(result))


def test_two_frames_of_reference_are_not_related(flawed):
    result = index_folder(flawed("two_frames_of_reference"))
    exams = result.datalist["exams"].values()
    assert sorted("sax" in exam["stacks"] for exam in exams) == [False, True]
    assert all(told(exam)[0] == finding("exam-grouped", count=2, kind="several-frames-of-reference") for exam in exams)
    assert all(item["planes"] == {} for item in items_of(result))
    assert ("exams-lack", "2ch") in [(each.code, each.subject) for each in result.warnings]


#: Identifiers of an exam that a program may write anew for each file.
UIDS = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")


def rewrite(folder: Path, keywords: Iterable[str], **tags) -> None:
    """Write new identifiers into each file, and the ``tags``."""
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        for keyword, value in (tags | {keyword: generate_uid() for keyword in keywords}).items():
            setattr(header, keyword, value)
        header.save_as(path)


@pytest.mark.parametrize("keywords", [UIDS[2:], UIDS])
@pytest.mark.parametrize("folders", ["exam/{series}/{file}", "{number}.dcm"])
def test_identifiers_that_differ_in_every_file_say_nothing(tmp_path, keywords, folders):
    exam = write_usual_exam(tmp_path / "before")
    rewrite(exam, keywords)
    for number, path in enumerate(sorted(exam.rglob("*.dcm"))):
        moved = tmp_path / "after" / folders.format(series=path.parent.name, file=path.name, number=number)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    found = only_exam(index_folder(tmp_path / "after"))
    counts = {view: (stack["slices"], stack["phases"]) for view, stack in found["stacks"].items()}
    assert counts == {"sax": (5, [6, 6]), "2ch": (1, [6, 6]), "4ch": (1, [6, 6])}


def test_nothing_but_paths_tells_who_it_is(flawed):
    """Every text in the planted headers is searched for in the datalist, without its paths, and in the printed output."""
    root = flawed("identity")
    secrets = set()
    for path in root.rglob("*"):
        if path.is_file() and pydicom.misc.is_dicom(path):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            for element in header.iterall():
                if element.VR in ("PN", "LO", "SH", "UI", "DA", "LT", "ST") and element.value:
                    secrets |= {str(value) for value in np.atleast_1d(element.value) if len(str(value)) > 5}
    secrets |= {part for path in root.rglob("*") for part in path.relative_to(root).parts[:-1] if len(part) > 4}
    secrets -= {"planewise"}  # the name of the phantom's scanner
    assert len(secrets) > 20
    result = index_folder(root)
    text = json.dumps(result.datalist)
    without_paths = re.sub(r'"(image|label)": "[^"]*"', "", text)
    assert [secret for secret in secrets if secret in without_paths] == []
    printed = " ".join(map(str, [*result.warnings, *result.skipped, *result.unmatched]))
    assert [secret for secret in secrets if secret in printed] == []


def test_exams_without_a_stack_are_named_in_the_log_or_handed_over(usual_exam, caplog):
    write_cine(usual_exam.parent / "axial", (0, 0, 0), (0, 0, 1), slices=6, StudyInstanceUID="1.2.3.4")
    (stack,) = find_stacks(usual_exam.parent)
    assert "has no short-axis stack and is left out" in caplog.text
    caplog.clear()
    left_out = []
    assert find_stacks(usual_exam.parent, left_out=left_out)[0]["exam"] == stack["exam"]
    (other,) = left_out
    assert other["exam"] != stack["exam"] and why_not(other) and len(other["image"]) == 6 and not caplog.text


def test_the_4ch_slice_of_an_exam(usual_exam):
    stacks = find_stacks(usual_exam, view="4ch", phases="all")
    assert [stack["phase"] for stack in stacks] == [phase_name(k / 6) for k in range(6)]
    for stack in stacks:
        (slice,) = stack["image"]
        assert not why_not(stack) and set(slice["planes"]) == {"2ch", "sax"} and "location" not in slice
    middle = find_stacks(usual_exam)[0]["image"][2]  # the third of five slices from base to apex
    assert slice["planes"]["sax"]["origin"] == pytest.approx([row[3] for row in middle["affine"][:3]])


def test_real_stacks_that_are_no_heart_are_flagged(real_data):
    stacks = find_stacks(real_data / "localizer_ge")
    assert len(stacks) == 2
    for stack in stacks:
        assert why_not(stack)[0].code == "not-recognised" and len(stack["image"]) == 7
