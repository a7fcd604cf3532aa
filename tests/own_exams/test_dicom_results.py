"""Test that an exam's results as DICOM files can be read and have the codes that other programs expect."""

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from planewise.exams import find_inputs
from planewise.findings import finding
from planewise.own_exams.bundles import Provenance
from planewise.own_exams.dicom_results import clear_dicom, reported, write_plan, write_segmentations
from planewise.own_exams.heart_results import heart_volumes
from planewise.own_exams.masks import CorrectedMask

from tests.exams.conftest import write_usual_exam
from tests.exams.test_dicom_segmentation import some_labels

NAMES = ["phase00", "phase33", "phase67"]
CHOSEN = "End-diastole is phase00."
NOTE, WEIGHTS = "Made by some weights.", Provenance("some_bundle", "1.2", "ab12" * 16, True)
FLAG = finding("number-implausible", "LV volume at end-diastole", value=1.0, low=5, high=640, unit="ml")
#: Findings on a view, on another view, and on a view that is not planned, which concerns the exam.
FLAGS = [
    finding("view-doubtful", "2ch", number=5, named="4ch", kind="misnamed"),
    finding("view-doubtful", "3ch", number=7, named="2ch", kind="misnamed"),
    finding("view-far", "4ch", values=["9 mm"], limits=["5 mm"]),
    finding("plane-disagrees", "4ch", kind="no-line", names=["slice 2"], count=1),
]


@pytest.fixture
def items(tmp_path):
    """The three phases of an exam."""
    return find_inputs(write_usual_exam(tmp_path / "exam", phases=3), "all")


def planned(**entry):
    known = {
        "verdict": "plane", "reasons": [], "origin": [40.0, -20.0, 10.0], "normal": [0.6, 0.0, 0.8],
        "slices_that_disagree": [2], "slices_without_a_line": [], "within_deg": 5.5, "within_mm": 1.75,
    }  # fmt: skip
    return known | entry


def numbers(group):
    return {item.name.meaning: (item.value, item.unit.value) for item in group.get_measurements()}


def comments(group):
    return [item.TextValue for item in group[0].ContentSequence if item.ValueType == "TEXT"]


def test_a_plan(items, tmp_path):
    none = planned(verdict="no plane") | dict.fromkeys(
        ("origin", "normal", "slices_that_disagree", "slices_without_a_line", "within_deg", "within_mm")
    )
    plan = {"views": {"2ch": planned(), "4ch": none}}
    remarks = {"2ch": ["bounds", NOTE], "4ch": [NOTE]}
    file = write_plan(tmp_path, items[0], plan, {"2ch": (1.5, 2.25), "4ch": None}, FLAGS, remarks, WEIGHTS, None)
    report = highdicom.sr.srread(file)
    (plane,) = report.content.get_planar_roi_measurement_groups()
    assert plane.tracking_identifier == "2ch, planned" and plane.finding_type.value == "399232001"
    corners = plane.roi.value * (-1, -1, 1)
    middle, normal = np.array([40.0, -20.0, 10.0]), np.array([0.6, 0.0, 0.8])
    assert np.allclose((corners - middle) @ normal, 0, atol=1e-3) and np.allclose(corners[:-1].mean(axis=0), middle)
    assert np.allclose(np.linalg.norm(np.diff(corners, axis=0), axis=1), 200)
    assert numbers(plane) == {
        "Angle between planned and acquired plane": (1.5, "deg"),
        "Distance between planned and acquired plane at the heart": (2.25, "mm"),
        "90 % error bound of the planned plane's angle": (5.5, "deg"),
        "90 % error bound of the planned plane's offset": (1.75, "mm"),
    }
    assert plane.get_qualitative_evaluations()[0].value.meaning == "Plane"
    assert comments(plane)[4:-1] == [*(f"check: {flag}" for flag in FLAGS[:2]), *remarks["2ch"]]
    (refused,) = report.content.get_image_measurement_groups()
    assert refused.tracking_identifier == "4ch, no plane" and numbers(refused) == {}
    assert refused.get_qualitative_evaluations()[0].value.meaning == "No plane"
    assert comments(refused)[4:-1] == [*(f"check: {flag}" for flag in FLAGS[1:3]), str(FLAGS[3]), NOTE]


@pytest.fixture
def write(items, tmp_path):
    """Write the files of three phases; the first is end-diastole and the last is end-systole."""
    labels = [some_labels(items[0]["image"]) for _ in range(3)]
    for phase, share in ((1, 0.8), (2, 0.4)):
        lv = np.argwhere(labels[phase] == 3)
        labels[phase][tuple(lv[int(share * len(lv)) :].T)] = 2
    affine = np.array(items[0]["image"][0]["affine"])
    found = replace(heart_volumes(labels, [affine] * 3), names=NAMES)
    assert (found.end_diastole, found.end_systole) == (0, 2)

    def run(per_series=False, hide=None, flags=(FLAG,), corrected=()):
        masks = {phase: CorrectedMask(Path(f"{phase}_corrected.nii"), np.empty(0)) for phase in corrected}
        results = replace(found, exam="aa", files=NAMES, corrected=masks, findings=flags)
        files = write_segmentations(tmp_path, items, labels, results, [CHOSEN, NOTE], WEIGHTS, per_series, hide)
        return [file.name for file in files], found

    return run


def test_segmentations_of_the_two_phases_that_are_read(write, tmp_path, items):
    assert write()[0] == ["volumes.sr.dcm", "phase00.seg.dcm", "phase67.seg.dcm"]
    for name, phase in (("phase00", 0), ("phase67", 2)):
        segmentation = highdicom.seg.segread(tmp_path / f"{name}.seg.dcm")
        wanted = {pydicom.dcmread(entry["image"]).SOPInstanceUID for entry in items[phase]["image"]}
        listed = {
            item.ReferencedSOPInstanceUID
            for series in segmentation.ReferencedSeriesSequence
            for item in series.ReferencedInstanceSequence
        }
        assert listed == wanted
        types = [segmentation.get_segment_description(number).segmented_property_type for number in (1, 2, 3)]
        assert [(code.value, code.scheme_designator) for code in types] == [
            ("53085002", "SCT"),
            ("49848007", "SCT"),
            ("87878005", "SCT"),
        ]
    series = {pydicom.dcmread(file).SeriesInstanceUID for file in tmp_path.glob("*.dcm")}
    assert len(series) == 3, "OHIF shows one file of a series"


def test_a_segmentation_of_each_series(write, tmp_path, items):
    names, _ = write(per_series=True)
    cines = [name for name in names if name.startswith("series")]
    assert names == ["volumes.sr.dcm", "phase00.seg.dcm", "phase67.seg.dcm", *cines] and len(cines) > 1
    assert cines == [f"series{number}.seg.dcm" for number in range(1, len(cines) + 1)]
    series = pydicom.dcmread(items[0]["image"][1]["image"]).SeriesNumber
    cine = pydicom.dcmread(tmp_path / "series1.seg.dcm")
    assert cine.SeriesDescription == f"heart, series {series}, phantom-trained weights, research only"
    phases = {frame.FrameContentSequence[0].TemporalPositionIndex for frame in cine.PerFrameFunctionalGroupsSequence}
    assert phases == {1, 2, 3}
    write(per_series=True, corrected=[1])
    cine = pydicom.dcmread(tmp_path / "series1.seg.dcm")
    assert cine.SeriesDescription == f"heart, series {series}, corrected, research only"
    assert cine.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_volumes(write, tmp_path):
    _, found = write()
    report = highdicom.sr.srread(tmp_path / "volumes.sr.dcm")
    groups = {group.tracking_identifier: group for group in report.content.get_volumetric_roi_measurement_groups()}
    for moment, phase, loinc, file in (
        ("end-diastole", 0, "8821-1", "phase00"),
        ("end-systole", 2, "8823-7", "phase67"),
    ):
        group = groups[f"Left ventricle, {moment}"]
        (volume,) = group.get_measurements()
        assert volume.name.value == loinc and volume.value == pytest.approx(found.volumes["LV"][phase], abs=1e-3)
        assert volume.unit.value == "ml" and group.finding_type.value == "87878005"
        (segment,) = [
            item.ReferencedSOPSequence[0]
            for item in group[0].ContentSequence
            if item.ValueType == "IMAGE" and "ReferencedSegmentNumber" in item.ReferencedSOPSequence[0]
        ]
        assert segment.ReferencedSegmentNumber == 3
        made = pydicom.dcmread(tmp_path / f"{file}.seg.dcm")
        assert segment.ReferencedSOPInstanceUID == made.SOPInstanceUID
        assert (f"check: {FLAG}" in comments(group)) == (phase == 0)
        assert CHOSEN in comments(group)
        muscle = {item.name.value: item.value for item in groups[f"Myocardium, {moment}"].get_measurements()}
        assert muscle.get("18087-7") == (pytest.approx(found.mass, abs=1e-3) if phase == 0 else None)
    assert found.mass != found.number("myocardium", "mass", 2).value
    function = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    assert f"check: {FLAG}" in comments(function["Left ventricle, function"])
    assert CHOSEN in comments(function["Right ventricle, function"])
    values = {item.name.value: item.value for item in function["Left ventricle, function"].get_measurements()}
    assert values["8811-2"] == pytest.approx(found.ejection_fraction("LV"), abs=1e-3)
    assert values["90096001"] == pytest.approx(found.stroke_volume("LV"), abs=1e-3)
    assert {"8818-7", "429483009"} == {
        item.name.value for item in function["Right ventricle, function"].get_measurements()
    }


def test_what_a_run_does_not_write_is_not_left_from_an_earlier_one(items, tmp_path):
    def save(name, manufacturer):
        dataset = pydicom.dcmread(items[0]["image"][0]["image"])
        dataset.Manufacturer = manufacturer
        dataset.save_as(tmp_path / name)

    save("phase33.seg.dcm", "planewise contributors")
    assert clear_dicom(tmp_path) == [] and not [*tmp_path.glob("*.dcm")]
    # another program saved a corrected mask
    save("phase33.seg.dcm", "QIICR")
    kept = finding("file-kept", file="phase33.seg.dcm", kept="phase33_corrected.seg.dcm")
    for told in ([kept], []):
        assert clear_dicom(tmp_path) == told
        assert [file.name for file in tmp_path.glob("*.dcm")] == ["phase33_corrected.seg.dcm"]


def test_a_header_that_cannot_be_referred_to_costs_the_dicom_files_alone(items, tmp_path):
    dataset = pydicom.dcmread(items[0]["image"][0]["image"])
    del dataset.FrameOfReferenceUID
    dataset.save_as(items[0]["image"][0]["image"])
    plan, findings = {"views": {"2ch": planned()}}, []
    with reported(findings):
        write_plan(tmp_path, items[0], plan, {"2ch": None}, [], {"2ch": []}, WEIGHTS, None)
    (found,) = findings
    assert found.code == "no-dicom" and found["missing"] == ("FrameOfReferenceUID",)
