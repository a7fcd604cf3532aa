"""Test indexing of whole folders, real and with damaged phantom exams, and what inference receives from it."""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from planewise.errors import InputError
from planewise.exams import find_stacks, index_folder, refusals, scan
from planewise.exams.input_stacks import _doubts
from planewise.exams.recognition import FoundView, Recognition
from planewise.findings import Finding, finding, from_record
from pydicom.uid import generate_uid

from tests.exams import damage
from tests.exams.conftest import view_normal, write_usual_exam
from tests.exams.files import write_cine
from tests.exams.hearts import USUAL_AXIS, rotation
from tests.exams.test_volumes import write_acdc
from tests.exams.told import codes, flags, notes

SECTIONS = ("training", "validation", "test")


def items_of(result):
    return [item for section in SECTIONS for item in result.datalist[section]]


def only_exam(result) -> dict:
    (exam,) = result.datalist["exams"].values()
    return exam


def told(exam: dict) -> list[Finding]:
    return [*map(from_record, exam["left_out"])]


# --- real folders ------------------------------------------------------------------------------------------------------


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


def test_real_cine_as_nifti(real_data):
    result = index_folder(real_data / "cardiac_cine_nifti")
    assert [item["phase"] for item in items_of(result)] == ["frame01", "frame02"]
    assert all("label" in item for item in items_of(result))
    assert len({item["exam"] for item in items_of(result)}) == 1


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
    assert result.skipped[finding("image-other-organ")][0] == 9 - len(kept)
    # those that are left out are in no section
    assert len(result.datalist["exams"]) == len(kept) + heart


def test_real_spines_are_no_hearts(real_data, tmp_path):
    for name in ("spine_nifti", "cardiac_cine_nifti", "cardiac_cine_exam"):
        (tmp_path / name).symlink_to(real_data / name)
    items = items_of(index_folder(tmp_path))
    assert {Path(item["image"]).name for item in items if "affine" not in item} == {
        "patient1_frame01.nii.gz",
        "patient1_frame02.nii.gz",
    }


def test_real_spine_as_nifti(real_data):
    items = items_of(index_folder(real_data / "spine_nifti", anatomy="any"))
    pairs = {Path(item["image"]).name: Path(item.get("label", "")).name for item in items}
    assert pairs["t2s.nii.gz"] == "t2s_seg.nii.gz"
    assert pairs["t2s_uncropped.nii.gz"] == "t2s_uncropped_gmseg_manual.nii.gz"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("localizer_ge", f"2 exams: {finding('series-of-organ', organ='a head')}"),
        ("mosaic_siemens", f"4 x {refusals.MOSAIC}"),
        ("phantom_philips", f"1 exam: {finding('no-short-axis', count=11, degrees=55, limit=60)}"),
        ("phantom_siemens_enhanced", f"exam: {finding('no-stack', least=3, most=1)}"),
        ("no_frame_of_reference", f"6 exams: {finding('few-phases', least=5)}"),
        ("short_axis_png", f"50 x {refusals.NOT_DICOM}"),
    ],
)
def test_real_folders_without_a_heart_say_what_they_hold(real_data, folder, words):
    with pytest.raises(InputError, match=re.escape(words)):
        index_folder(real_data / folder)


def test_all_real_folders_at_once(real_data):
    """In a folder with all real data, the hearts are found, and everything else is listed."""
    result = index_folder(real_data)
    exams = result.datalist["exams"].values()
    assert sum("sax" in exam["stacks"] for exam in exams) == 3, "two of them are from Sunnybrook"
    reasons = {reason for exam in exams for reason in told(exam)}
    assert {finding("several-frames-of-reference", count=2), finding("images-copied", count=8)} <= reasons
    localizers = [exam for exam in exams if [s["slices"] for s in exam["stacks"].values()] == [7, 7, 7]]
    assert len(localizers) == 2, "one for each frame of reference; each has one series with three orientations"
    (scout,) = [exam for exam in exams if [s["slices"] for s in exam["stacks"].values()] == [1, 1, 1]]
    assert scout["stacks"]["other-1"]["matrix"] == [128, 128]


def test_series_that_mix_orientations_are_taken_apart(real_data):
    """Two acquisitions with different orientations and spacings share one SeriesInstanceUID."""
    stacks = find_stacks(real_data / "no_frame_of_reference" / "failing_sliceorientation_001")
    assert [len(stack.slices) for stack in stacks] == [2]
    assert codes(stacks[0].why_not) == ["no-stack"]


# --- damaged exams -----------------------------------------------------------------------------------------------------

#: Maps damage to (files left out for a reason, number of remarks on the exam, its views).
SOUND = {"sax", "2ch", "4ch"}
EXPECTED = {
    damage.without("SeriesInstanceUID"): ({}, 0, SOUND),
    damage.without("TriggerTime"): ({}, 0, SOUND),
    damage.without("FrameOfReferenceUID"): ({}, 1, SOUND),
    damage.without("PixelSpacing", "4ch"): ({refusals.BAD_GEOMETRY: 3}, 1, {"sax", "2ch"}),
    damage.enhanced: ({}, 0, SOUND),
    damage.mixed_matrix: ({}, 1, SOUND),
    damage.missing_view: ({}, 0, {"sax", "2ch"}),
    damage.parallel_planes: ({}, 1, {"sax", "4ch"}),
    damage.black: ({}, 0, SOUND),
    damage.compressed_jpeg2000: ({}, 0, SOUND),
    damage.zero_byte: ({refusals.EMPTY: 1}, 2, SOUND),
    damage.burnt_in: ({refusals.BURNT_IN: 1}, 0, SOUND),
    damage.no_extension: (None, 0, SOUND),
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
    assert all(told(exam)[0] == finding("several-frames-of-reference", count=2) for exam in exams)
    assert all(item["planes"] == {} for item in items_of(result))
    assert ("exams-without-view", "2ch") in [(each.code, each.subject) for each in result.warnings]


def test_a_series_that_lies_in_two_studies_is_said(usual_exam):
    """This happens if anonymisation draws new identifiers for each file."""
    (whole,) = index_folder(usual_exam).datalist["exams"].values()
    assert "series-torn" not in codes(told(whole))
    for path in list(usual_exam.rglob("*.dcm"))[::2]:
        header = pydicom.dcmread(path)
        header.StudyInstanceUID = "1.2.3.4"
        header.save_as(path)
    exams = index_folder(usual_exam).datalist["exams"].values()
    assert len(exams) == 2
    assert all(finding("series-torn", kind="studies", count=2) in told(exam) for exam in exams)


#: Identifiers of an exam that a program may write anew for each file.
UIDS = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")


def rewrite(folder: Path, keywords: Iterable[str], **tags) -> None:
    """Write new identifiers into each file, and the ``tags``."""
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        for keyword, value in (tags | {keyword: generate_uid() for keyword in keywords}).items():
            setattr(header, keyword, value)
        header.save_as(path)


@pytest.mark.parametrize("keywords", [UIDS[:1], UIDS[1:2], UIDS[2:], UIDS[:2], UIDS])
@pytest.mark.parametrize("folders", ["exam/{series}/{file}", "{number}.dcm", "{number}/{file}"])
@pytest.mark.parametrize("tags", [{}, {"SeriesNumber": None, "SeriesDescription": ""}])
def test_identifiers_that_differ_in_every_file_say_nothing(tmp_path, keywords, folders, tags):
    exam = write_usual_exam(tmp_path / "before")
    rewrite(exam, keywords, **tags)
    for number, path in enumerate(sorted(exam.rglob("*.dcm"))):
        moved = tmp_path / "after" / folders.format(series=path.parent.name, file=path.name, number=number)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    found = only_exam(index_folder(tmp_path / "after"))
    counts = {view: (stack["slices"], stack["phases"]) for view, stack in found["stacks"].items()}
    assert counts == {"sax": (5, [6, 6]), "2ch": (1, [6, 6]), "4ch": (1, [6, 6])}
    # without a frame of reference, positions within one study still agree
    said = [sorted(each["names"]) for each in told(found) if each.code == "identifiers-of-files"]
    assert said == [sorted(keywords)] * (keywords != UIDS[2:])


@pytest.mark.parametrize("keywords", [UIDS[1:], UIDS])
def test_patients_and_days_stay_apart_without_studies(tmp_path, keywords):
    for number, (patient, date) in enumerate([("P-1", "20130101"), ("P-1", "20140101"), ("P-2", "20130101")]):
        write_usual_exam(tmp_path / str(number), PatientID=patient, StudyDate=date)
    rewrite(tmp_path, keywords)
    result = index_folder(tmp_path)
    assert [exam["stacks"]["sax"]["slices"] for exam in result.datalist["exams"].values()] == [5] * 3
    assert len({exam["patient"] for exam in result.datalist["exams"].values()}) == 2


def test_images_that_share_a_frame_of_reference_are_related_to_no_others(usual_exam):
    """Frames of reference of the long axes differ in every file; those of the short axis are real."""
    for view in ("4ch_8", "2ch_9"):
        rewrite(usual_exam / view, ["FrameOfReferenceUID"])
    result = index_folder(usual_exam)
    assert sorted("sax" in exam["stacks"] for exam in result.datalist["exams"].values()) == [False, True]
    assert all(item["planes"] == {} for item in items_of(result))


def test_nameless_people_of_one_folder_are_not_mixed(tmp_path):
    """Their identifiers differ in every file, and only their birth dates tell them apart."""
    for number, born in enumerate(("19500101", "19600101")):
        place, tags = (0, 0, 200 * number), {"PatientID": "anonymous", "PatientBirthDate": born}
        for path in write_cine(tmp_path / str(number) / "sax", place, (0, 0, 1), slices=3, **tags):
            path.rename(tmp_path / f"{number}_{path.name}")
    rewrite(tmp_path, UIDS)
    for stack in find_stacks(tmp_path, left_out=[]):
        assert len({Path(entry["image"]).name[0] for entry in stack.slices}) == 1
    assert len(find_stacks(tmp_path, left_out=[])) == 36


def test_visits_with_one_image_each_are_not_one_exam(tmp_path):
    """Each image has identifiers of its own, rightly: they do not continue one another's numbers."""
    for number in range(4):
        write_cine(tmp_path / str(number), (0, 0, 10 * number), (0, 0, 1), phases=1)
    rewrite(tmp_path, UIDS)
    assert len(find_stacks(tmp_path, left_out=[])) == 4


def test_names_that_lie_are_said(flawed):
    stacks = only_exam(index_folder(flawed("swapped_names")))["stacks"]
    assert {name: stack.get("named") for name, stack in stacks.items()} == {"2ch": "4ch", "4ch": "2ch", "sax": None}


# --- identity ----------------------------------------------------------------------------------------------------------


def test_every_user_gives_a_phantom_the_same_name(phantom_exam, tmp_path, monkeypatch):
    exam = phantom_exam["sax"][0].parents[2]
    monkeypatch.setenv("PLANEWISE_SALT_FILE", "")
    names = set()
    for user in "ab":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / user))
        names |= {*index_folder(exam.parents[2]).datalist["exams"], *(stack.exam for stack in find_stacks(exam))}
    assert len(names) == 1


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


# --- splits, warnings, messages ----------------------------------------------------------------------------------------


def test_exams_with_groups_are_split_alike(tmp_path):
    for number in range(1, 26):
        write_acdc(tmp_path, number, group=["DCM", "HCM", "MINF", "NOR", "RV"][(number - 1) // 5])
    datalist = index_folder(tmp_path).datalist
    assert [len(datalist[section]) for section in SECTIONS] == [32, 8, 10]
    assert {item["group"] for item in datalist["test"]} == {"DCM", "HCM", "MINF", "NOR", "RV"}


@pytest.mark.parametrize(
    ("first", "second", "patients", "said"),
    [
        ("00042", "42", 2, True),
        ("p001 ", "P001", 2, True),
        ("p001 ", " p001", 1, False),
        ("420", "42", 2, False),
        ("P01", "P1", 2, False),
    ],
)
def test_patient_identifiers_that_are_nearly_the_same_are_said(first, second, patients, said, tmp_path):
    """Spreadsheets strip leading zeros."""
    for number, patient in enumerate((first, second)):
        write_usual_exam(tmp_path / f"study{number}", PatientID=patient, StudyInstanceUID=f"1.2.{number}")
    result = index_folder(tmp_path)
    assert len({item["patient"] for item in items_of(result)}) == patients
    assert [bool(re.search(r"/study0 and \S+/study1$", name)) for name in alike(result)] == [True] * said
    (tmp_path / "flat").mkdir()
    for number, path in enumerate(sorted(tmp_path.glob("study*/*/*.dcm"))):
        path.rename(tmp_path / "flat" / f"{number}.dcm")
    found = alike(index_folder(tmp_path))
    assert [bool(re.fullmatch(r"flat/\d+\.dcm and flat/\d+\.dcm", name)) for name in found] == [True] * said


def alike(result) -> list[str]:
    return [name for each in result.warnings if each.code == "patients-alike" for name in each["names"]]


def test_an_empty_training_section_is_said(usual_exam):
    result = index_folder(usual_exam, split=(0, 0, 1))
    assert result.warnings == []
    seed = next(
        seed for seed in range(99) if not index_folder(usual_exam, seed=seed, split=(0.5, 0.5, 0)).datalist["training"]
    )
    (warning,) = index_folder(usual_exam, seed=seed, split=(0.5, 0.5, 0)).warnings
    assert warning == finding("sections-empty", sections=["training"], count=1, kind="training")


def test_an_empty_section_has_a_remedy_that_works(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for number in range(4):
        write_usual_exam(tmp_path / str(number), PatientID=f"P-{number}", StudyInstanceUID=f"1.2.{number}")
    seed = next(seed for seed in range(99) if not index_folder(tmp_path, seed=seed).datalist["test"])
    assert ("sections-empty", "hash") in kinds(index_folder(tmp_path, seed=seed).warnings)
    tries = [index_folder(tmp_path, seed=seed, split=(0.6, 0.2, 0.2)).datalist for seed in range(12)]
    assert any(all(datalist[section] for section in SECTIONS) for datalist in tries)
    sections = tmp_path / "sections.csv"
    sections.write_text("exam,section\n" + "\n".join(f"{number},training" for number in range(4)))
    assert ("sections-empty", "rule") in kinds(index_folder(tmp_path, sections="~/sections.csv").warnings)


def kinds(warnings) -> list[tuple[str, str]]:
    return [(each.code, dict(each.values).get("kind", "")) for each in warnings]


def test_an_unknown_anatomy(usual_exam):
    with pytest.raises(InputError, match="anatomy 'liver' is not known; choose one of cardiac"):
        index_folder(usual_exam, anatomy="liver")


@pytest.mark.parametrize("spacing", ["1e-300", "1e-170", "0.001"])
def test_one_file_of_impossible_spacing_ends_nothing(tmp_path, spacing):
    write_usual_exam(tmp_path / "healthy")
    write_usual_exam(tmp_path / "broken", PatientID="P-2", StudyInstanceUID="1.2.8", FrameOfReferenceUID="1.2.8.1")
    path = tmp_path / "broken/sax_1/IM-0001-0001.dcm"
    header = pydicom.dcmread(path)
    header.PixelSpacing = [spacing, spacing]
    header.save_as(path)
    result = index_folder(tmp_path)
    assert len(result.datalist["exams"]) == 2
    assert result.skipped[refusals.BAD_GEOMETRY] == (1, str(path))


def test_a_slice_at_a_wrong_position_is_remarked_on(tmp_path):
    write_usual_exam(tmp_path / "a")
    (sound,) = index_folder(tmp_path).datalist["exams"].values()
    for path in (tmp_path / "a/sax_1").iterdir():
        header = pydicom.dcmread(path)
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        header.ImagePositionPatient = [*(np.array(header.ImagePositionPatient, float) + 900 * np.cross(row, column))]
        header.save_as(path)
    (moved,) = index_folder(tmp_path).datalist["exams"].values()
    assert codes(set(told(moved)) - set(told(sound))) == ["gaps-uneven"]


def test_a_link_to_itself_costs_itself(tmp_path):
    write_usual_exam(tmp_path / "healthy")
    for name in ("a.nii.gz", "b.dcm", "c.nii.gz"):
        (tmp_path / name).symlink_to(name)
    result = index_folder(tmp_path)
    assert len(result.datalist["exams"]) == 1
    assert sum(count for count, path in result.skipped.values() if path.endswith(".nii.gz")) == 2
    assert result.skipped[finding("file-unusable", kind="unreadable", error="Too many levels of symbolic links")] == (
        1,
        str(tmp_path / "b.dcm"),
    )


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing in .* to learn from: 0 files, 0 exams"):
        index_folder(tmp_path / "empty")


# --- for inference -----------------------------------------------------------------------------------------------------


def test_stacks_of_a_whole_exam(usual_exam):
    (stack,) = find_stacks(usual_exam)
    assert (stack.stack, stack.phase, stack.why_not) == ("sax", 0.0, [])
    assert set(stack.planes) == {"2ch", "4ch"}
    for view, image in stack.views.items():
        assert "4ch" in image["image"] if view == "4ch" else "4ch" not in image["image"]
        assert image["phase"] == 0 and Path(image["image"]).is_file()
        affine, plane = np.array(image["affine"]), stack.planes[view]
        assert np.abs(affine[:3, :2].T @ plane["normal"]).max() < 1e-6 and plane["origin"] == affine[:3, 3].tolist()
    assert set(stack.views) == set(stack.planes)
    assert [one["location"] for one in stack.slices] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert all(Path(one["image"]).is_file() and one["phase"] == 0 for one in stack.slices)
    assert len(stack.exam) == 10 and flags(stack) == []


def test_series_with_another_views_name_are_doubted(usual_exam):
    """The plane determines which view is used, and the name is reported."""
    (folder,) = [each for each in usual_exam.iterdir() if each.name.startswith("4ch")]
    before = find_stacks(usual_exam)[0].planes
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.SeriesDescription = "cine_3ch"
        header.save_as(file)
    folder.rename(usual_exam / "3ch")
    (stack,) = find_stacks(usual_exam)
    assert stack.planes == before
    number = pydicom.dcmread(next((usual_exam / "3ch").iterdir())).SeriesNumber
    assert flags(stack) == [finding("series-misnamed", "4ch", named="3ch", number=number)]


def test_a_series_that_may_show_another_view_than_its_name_is_doubted(tmp_path):
    """A plane between the 4ch and the 3ch view is not used."""
    exam = write_usual_exam(tmp_path / "exam", views=("2ch",))
    between = rotation(USUAL_AXIS, -35) @ view_normal("4ch")
    write_cine(exam / "4ch_10", np.array([-20.0, 15.0, -10.0]), between, number=10)
    (stack,) = find_stacks(exam)
    assert set(stack.planes) == {"2ch"}
    (doubt,) = flags(stack)
    assert (doubt.code, doubt.subject) == ("series-undecided", "4ch")
    assert re.fullmatch(r"3ch \(0\.5\d\) 4ch \(0\.4\d\)", " ".join(doubt["likely"]))


def test_a_folder_of_knees_is_called_that(tmp_path):
    for name, axis in (("sag t2", (1, 0, 0)), ("cor pd", (0, 1, 0))):
        write_cine(tmp_path / name, (0, 0, 0), axis, slices=6, BodyPartExamined="KNEE", SeriesDescription=name)
    with pytest.raises(InputError, match="of a knee(.|\n)*--anatomy knee"):
        index_folder(tmp_path)


def test_planes_without_a_view_are_only_doubted_if_their_name_is_missed():
    """Localizers and views of vessels are common, and so are second series of a view that was found."""
    undecided = [FoundView("3ch", 1, 0, 0.5, {"4ch": 0.4}, named) for named in (None, "4ch", "2ch")]
    found = Recognition(views={"2ch": FoundView("2ch", 2, 0, 0.9, named="2ch")}, undecided=undecided)
    assert [doubt.subject for doubt in _doubts(found, [])] == ["4ch"]


def test_exams_without_a_stack_are_named_in_the_log_or_handed_over(usual_exam, caplog):
    write_cine(usual_exam.parent / "axial", (0, 0, 0), (0, 0, 1), slices=6, StudyInstanceUID="1.2.3.4")
    (stack,) = find_stacks(usual_exam.parent)
    assert "has no short-axis stack and is left out" in caplog.text
    caplog.clear()
    left_out = []
    assert find_stacks(usual_exam.parent, left_out=left_out)[0].exam == stack.exam
    (other,) = left_out
    assert other.exam != stack.exam and other.why_not and len(other.slices) == 6 and not caplog.text


@pytest.mark.parametrize(
    ("changed", "tags", "flagged", "noted"),
    [
        ((4, 5), {"size": (24, 22)}, ["stack-may-be-part"], []),
        ((4, 5), {"spacing": 9.0}, ["stack-may-be-part"], []),
        ((4, 5), {"FrameOfReferenceUID": "1.2.3"}, ["part-moved"], ["several-frames-of-reference"]),
        # another view, images of one phase, and a repetition of slices leave nothing out
        ((9,), {"FrameOfReferenceUID": "1.2.3"}, [], ["several-frames-of-reference"]),
        ((4, 5), {"size": (24, 22), "phases": 2}, [], ["stack-not-used"]),
        ((14, 15), {"size": (24, 22)}, [], ["stack-not-used"]),
        ((14, 15), {"FrameOfReferenceUID": "1.2.3", "phases": 1}, [], ["several-frames-of-reference"]),
    ],
)
def test_slices_that_may_be_missing_from_the_stack_are_doubts(tmp_path, changed, tags, flagged, noted):
    exam = write_usual_exam(tmp_path / "exam")
    other = write_usual_exam(tmp_path / "other", **tags)
    for number in changed:
        name = next(path.name for path in other.iterdir() if path.name.endswith(f"_{number % 10}"))
        if number < 10:
            shutil.rmtree(exam / name)
        shutil.copytree(other / name, exam / f"{name}_{number}")
    (stack,) = find_stacks(exam, left_out=[])
    assert (codes(flags(stack)), codes(notes(stack))) == (flagged, noted)
    said = told(next(iter(index_folder(exam).datalist["exams"].values())))
    assert {each for each in stack.findings if each.code != "part-moved"} <= {*said}


@pytest.mark.parametrize(
    ("dates", "exams", "torn"),
    [
        ([{"StudyDate": "20130101"}, {"StudyDate": "20140101"}], 2, False),
        ([{"AcquisitionDate": "20130101"}, {"AcquisitionDate": "20140101"}], 2, False),
        ([{"SeriesDate": "20130101"}, {"SeriesDate": "20140101"}], 2, False),
        # an exam past midnight, dates that were removed or replaced, a series without a date
        ([{"StudyDate": "20130131", "SeriesDate": f"201301{day}"} for day in (30, 31)], 1, False),
        ([{"StudyDate": "20130101"}, {"StudyDate": ""}], 1, False),
        ([{"StudyDate": "xx"}, {"StudyDate": "yy"}], 1, False),
        ([{"SeriesDate": "20130101"}, {"SeriesDate": "19000101"}], 1, False),
        ([{"StudyDate": "20130101", "SeriesInstanceUID": "1.2"}, {"StudyDate": "20140101", "SeriesInstanceUID": "1.2"}], 1,
         True),
    ],
)  # fmt: skip
def test_examinations_of_several_dates_are_not_interleaved(tmp_path, dates, exams, torn):
    """An anonymiser gave them one study and one frame of reference; the second is 5 mm from the first."""
    for number, tags in enumerate(dates):
        for rank in range(5):
            place = np.array([-20.0, 15.0, -10.0]) + (10 * (rank - 2) + 5 * number) * USUAL_AXIS
            write_cine(tmp_path / f"{number}/sax_{rank}", place, USUAL_AXIS, number=rank, **tags)
    stacks = find_stacks(tmp_path)
    assert [len(stack.slices) for stack in stacks] == [10 // exams] * exams
    for stack in stacks:
        assert codes(notes(stack)) == [("slices-interleaved", "study-of-several-dates")[exams - 1]]
        assert flags(stack) == [finding("series-torn", kind="dates")] * torn
    assert len({exam["patient"] for exam in index_folder(tmp_path).datalist["exams"].values()}) == 1


@pytest.mark.parametrize(("slices", "recognised"), [((5, 3), 2), ((5, 2), 1), ((2, 2), 0)])
def test_dates_that_tear_a_stack_apart_are_said(tmp_path, slices, recognised):
    for rank in range(sum(slices)):
        place, date = np.array([-20.0, 15.0, -10.0]) + 10 * rank * USUAL_AXIS, f"201301{1 + 9 * (rank >= slices[0])}"
        write_cine(tmp_path / f"sax_{rank}", place, USUAL_AXIS, number=rank, AcquisitionDate=date)
    others = []
    stacks = find_stacks(tmp_path, left_out=others)
    assert [not stack.why_not for stack in stacks + others] == [True] * recognised + [False] * (2 - recognised)
    assert all("part-dated" in codes(stack.why_not or flags(stack)) for stack in stacks + others)


def test_the_4ch_slice_of_an_exam(usual_exam):
    stacks = find_stacks(usual_exam, view="4ch", phases="all")
    assert [stack.phase for stack in stacks] == pytest.approx([k / 6 for k in range(6)], abs=1e-6)
    for stack in stacks:
        assert (stack.stack, stack.why_not, set(stack.planes)) == ("4ch", [], {"2ch", "sax"})
        assert len(stack.slices) == 1 and "location" not in stack.slices[0]
    middle = find_stacks(usual_exam)[0].slices[2]  # the third of five slices from base to apex
    assert stacks[0].planes["sax"]["origin"] == pytest.approx([row[3] for row in middle["affine"][:3]])


def test_a_4ch_image_alone_is_flagged_and_given(usual_exam):
    image = next((usual_exam / "4ch").iterdir()) if (usual_exam / "4ch").is_dir() else next(usual_exam.glob("4ch*/*"))
    (stack,) = find_stacks(image, view="4ch")
    assert stack.stack == "unknown" and [Path(one["image"]) for one in stack.slices] == [image.resolve()]
    assert stack.why_not[0] == finding("no-view", "4ch", kind="no-stack")


def test_of_a_file_only_that_file_is_read(usual_exam, monkeypatch):
    """The file's folder may hold a hundred thousand other files."""
    read = []
    headers = scan.dicom.read_headers
    monkeypatch.setattr(
        scan.dicom, "read_headers", lambda paths, **options: read.extend(paths) or headers(paths, **options)
    )
    image = sorted(usual_exam.rglob("*.dcm"))[0].resolve()
    (stack,) = find_stacks(image)
    assert read == [str(image)] and [one["image"] for one in stack.slices] == [str(image)]
    text = usual_exam / "notes.txt"
    text.write_text("no image")
    with pytest.raises(InputError, match="notes.txt cannot be used: "):
        find_stacks(text)


def test_every_phase_is_a_stack(usual_exam):
    stacks = find_stacks(usual_exam, phases="all")
    assert [stack.phase for stack in stacks] == pytest.approx([k / 6 for k in range(6)], abs=1e-6)
    assert all(len(stack.slices) == 5 for stack in stacks)
    assert all({one["phase"] for one in stack.slices} == {stack.phase} for stack in stacks)


def test_missing_phases_are_filled_by_the_nearest(usual_exam):
    for name in ("IM-0003-0006.dcm", "IM-0003-0005.dcm"):
        (usual_exam / "sax_3" / name).unlink()
    stacks = find_stacks(usual_exam, phases="all")
    assert [len(stack.slices) for stack in stacks] == [5] * 6


def test_one_slice_with_more_phases_adds_none_to_the_others(usual_exam):
    for number in (1, 2, 4, 5):
        (usual_exam / f"sax_{number}" / f"IM-{number:04d}-0006.dcm").unlink()
    stacks = find_stacks(usual_exam, phases="all")
    assert [stack.phase for stack in stacks] == pytest.approx([k / 5 for k in range(5)], abs=1e-6)
    for images in zip(*([item["image"] for item in stack.slices] for stack in stacks), strict=True):
        assert len(set(images)) == 5, "no image is repeated"


def test_a_short_axis_stack_alone(tmp_path):
    folder = write_usual_exam(tmp_path, views=())
    (stack,) = find_stacks(folder)
    assert (stack.stack, stack.planes, stack.why_not) == ("sax", {}, [])


def test_a_stack_that_nothing_calls_a_heart_is_flagged(tmp_path):
    plain = {"TriggerTime": None, "SeriesDescription": None}
    for rank in range(4):
        source = write_usual_exam(tmp_path / "source", views=(), slices=4, **plain)
        (tmp_path / "x").mkdir(exist_ok=True)
        next((source / f"sax_{rank + 1}").iterdir()).rename(tmp_path / "x" / f"{rank}.dcm")
    (stack,) = find_stacks(tmp_path / "x")
    assert stack.stack == "unknown"
    assert len(stack.slices) == 4
    assert "no-heart-named" in codes(stack.why_not)


def test_real_stacks_that_are_no_heart_are_flagged(real_data):
    stacks = find_stacks(real_data / "localizer_ge")
    assert len(stacks) == 2
    for stack in stacks:
        assert stack.stack == "unknown"
        assert stack.why_not[0].code == "no-short-axis"
        assert len(stack.slices) == 7


def test_one_file_is_a_stack_of_one(usual_exam):
    (stack,) = find_stacks(usual_exam / "sax_3" / "IM-0003-0001.dcm")
    assert len(stack.slices) == 1
    assert stack.why_not


def test_no_image_at_all(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no DICOM image to use(.|\n)*1 x not a DICOM file"):
        find_stacks(tmp_path)
    (tmp_path / "masks").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), "i2"), np.eye(4)), tmp_path / "masks/a.nii.gz")
    with pytest.raises(InputError, match="2 files(.|\n)*1 x NIfTI in folders below: name one file or its folder"):
        find_stacks(tmp_path)
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes.txt cannot be used: not a DICOM file; name a folder"):
        find_stacks(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="view must be one of 'sax', .*, '4ch', and phases .*; got view '2ch'"):
        find_stacks(tmp_path, view="2ch")


def test_a_view_whose_image_lies_beside_the_stack_is_said(usual_exam):
    """The plane is the same, and so is the view; only its image has another place in it."""
    for path in (usual_exam / "2ch_9").iterdir():
        dataset = pydicom.dcmread(path)
        row = np.array(dataset.ImageOrientationPatient[:3])
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in np.array(dataset.ImagePositionPatient) + 400 * row]
        dataset.save_as(path)
    exam = only_exam(index_folder(usual_exam.parent))
    assert "2ch" in exam["stacks"]
    assert [(each.subject, each["mm"] // 100) for each in told(exam) if each.code == "image-beside"] == [("2ch", 2)]


def test_one_inverted_image_among_others_is_said(usual_exam):
    path = usual_exam / "sax_2" / "IM-0002-0003.dcm"
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(path)
    exam = only_exam(index_folder(usual_exam.parent))
    assert finding("images-inverted", count=1) in told(exam)


def test_a_whole_exam_of_inverted_images_is_usual(tmp_path):
    write_usual_exam(tmp_path / "exam", PhotometricInterpretation="MONOCHROME1")
    assert "images-inverted" not in codes(told(only_exam(index_folder(tmp_path))))
