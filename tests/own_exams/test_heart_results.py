"""Test volumes of hearts whose voxels can be counted by hand, and which numbers a finding concerns, in the record of a heart
and in everything that is written from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planewise.findings import finding
from planewise.own_exams.heart_results import (
    HeartResults,
    heart_volumes,
    volume_columns,
    volume_content,
    volume_summary,
    volume_table,
    which_phases,
)
from planewise.own_exams.masks import CorrectedMask

NAMES = ["phase00", "phase33", "phase67"]
#: End-diastole is the second of three phases, end-systole the first; the muscle differs between them.
FOUND = HeartResults(
    {"LV": [40.0, 100.0, 70.0], "RV": [60.0, 120.0, 90.0], "myocardium": [80.0, 100.0, 90.0]},
    {},
    [],
    1,
    0,
    names=NAMES,
)
ITEMS = [{"image": "heart.nii.gz", "exam": "aa", "phase": name} for name in NAMES]
SMALL = finding("number-implausible", value=1.0, low=5, high=640, unit="ml")


def results_of(*findings, found=FOUND, corrected=()):
    files = [f"aa_{name}" for name in found.names]
    masks = {phase: CorrectedMask(Path(f"{phase}_corrected.nii"), np.empty(0)) for phase in corrected}
    return replace(found, exam="aa", files=files, corrected=masks, findings=findings)


def marked(results):
    """Structure and column of each flagged number."""
    header, rows = volume_table(results)
    return {(row[0], name) for row in rows for name, cell in zip(header, row, strict=True) if cell.endswith("(!)")}


@pytest.mark.parametrize(
    ("number", "columns"),
    [
        ("LV volume at end-diastole", ["end-diastole", "stroke volume", "ejection fraction"]),
        ("RV volume at end-systole", ["end-systole", "stroke volume", "ejection fraction"]),
        ("LV stroke volume", ["stroke volume", "ejection fraction"]),
        ("RV ejection fraction", ["ejection fraction"]),
        ("myocardium volume at end-diastole", ["end-diastole", "mass"]),
        ("myocardium mass at end-diastole", ["mass"]),
        ("LV volume at phase67", []),
        ("myocardium volume at end-systole", []),
    ],
)
def test_a_flag_marks_its_number_and_those_computed_from_it(number, columns):
    flag, structure = SMALL.about(number), number.split()[0]
    results = results_of(flag)
    assert marked(results) == {(structure, column) for column in columns}
    # the program's file says the same
    (entry,) = volume_content(results)["flags"]
    assert number in entry["numbers"] and {name.split()[0] for name in entry["numbers"]} == {structure}
    summary = volume_summary(results)
    assert (
        summary.flags == [flag]
        and summary.severity == 1
        and len(summary.flagged) == len({*columns} - {"end-diastole"} if structure == "myocardium" else columns)
    )


def test_a_single_phase_has_no_end_systole():
    one = HeartResults({"LV": [100.0], "RV": [0.0], "myocardium": [90.0]}, {}, [], 0, 0, names=["segmentation"])
    flags = [SMALL.about("RV volume"), finding("mask-no-heart", kind="empty")]
    results = results_of(flags[0], found=one)
    summary, content = volume_summary(results), volume_content(results)
    assert summary.values == {"phases": 1, "LV_ml": 100, "RV_ml": 0, "myocardial_mass_g": pytest.approx(94.5)}
    assert summary.flagged == ["RV_ml"] and summary.severity == 1
    assert content["end_diastole"] is content["end_systole"] is content["ejection_fraction_percent"]["LV"] is None
    assert which_phases(results) == []
    assert len(marked(results_of(flags[1], found=one))) == 4 and volume_summary(results_of(flags[1])).severity > 1000


def test_a_ventricle_that_is_missing_has_an_empty_ejection_fraction_without_a_mark():
    volumes = {"LV": [40.0, 100.0], "RV": [0.0, 0.0], "myocardium": [80.0, 100.0]}
    found = HeartResults(volumes, {}, [], 1, 0, names=["ES", "ED"])
    results = results_of(finding("volume-incomplete", "RV volume at end-diastole", kind="nowhere"), found=found)
    columns = volume_columns(results, ITEMS[:2])
    assert columns["LV_ejection_fraction_percent"] == [60, ""] and columns["RV_ejection_fraction_percent"] == ["", ""]
    assert columns["moment"] == ["end-systole", "end-diastole"]
    assert volume_table(results)[1][1] == ["RV", "0 ml (!)", "0 ml", "0 ml (!)", "-", "-"]
    assert volume_summary(results).values["RV_ejection_fraction_percent"] is None


def test_numbers_from_corrected_masks_are_marked():
    results = results_of(corrected=[1])
    files = {number.name: number.corrected for number in results.numbers if number.corrected}
    assert {*files} == {number.name for number in results.numbers if 1 in number.phases} and len(files) == 8
    assert {*files.values()} == {("1_corrected.nii",)}
    assert len(volume_summary(results).corrected) == 7


#: 2 x 2.5 mm in the plane; slices are 10 mm apart and oblique to the axes: 0.05 ml a voxel
AFFINE = np.array([[0, 2.5, 0, 5], [-2, 0, 0, 7], [0, 0, 10, 9], [0, 0, 0, 1.0]])


def heart(rv, myocardium, lv):
    labels = np.zeros((20, 20, 3), dtype=np.uint8)
    labels.ravel()[:rv], labels.ravel()[rv : rv + myocardium] = 1, 2
    labels.ravel()[rv + myocardium : rv + myocardium + lv] = 3
    return labels


def test_volumes_fractions_and_mass():
    phases = [heart(80, 40, 90), heart(100, 60, 120), heart(40, 50, 30)]
    found = heart_volumes(phases, [AFFINE] * 3)
    assert found.volumes["LV"] == pytest.approx([4.5, 6.0, 1.5])
    assert found.volumes["RV"] == pytest.approx([4.0, 5.0, 2.0])
    assert (found.end_diastole, found.end_systole) == (1, 2)
    assert found.ejection_fraction("LV") == pytest.approx(75.0)
    assert found.ejection_fraction("RV") == pytest.approx(60.0)
    assert (found.stroke_volume("LV"), found.stroke_volume("RV")) == pytest.approx((4.5, 3.0))
    assert found.mass == pytest.approx(3.0 * 1.05)


def test_in_an_unevenly_spaced_stack_each_slice_counts_with_its_own_thickness():
    labels = np.zeros((20, 20, 3), dtype=np.uint8)
    labels[:4, :5, 0], labels[:10, :10, 1], labels[:10, :7, 2] = 3, 3, 3
    thickness = np.array([5.0, 7.5, 10.0])
    found = heart_volumes([labels, labels], [AFFINE] * 2, thickness=thickness)
    # a voxel covers 5 mm2
    assert found.volumes["LV"] == pytest.approx([5 * (20 * 5 + 100 * 7.5 + 70 * 10) / 1000] * 2)
    assert found.thickness == [5.0, 7.5, 10.0]
    even = heart_volumes([labels], [AFFINE], thickness=np.full(3, 10.0))
    assert even.volumes["LV"] == pytest.approx(heart_volumes([labels], [AFFINE]).volumes["LV"])
