"""Test the numbers of a segmented heart, worked out by hand, in the terminal and in the list of exams."""

from pathlib import Path

import pytest
from planewise.metrics.heart_volumes import HeartVolumes
from planewise.metrics.implausible_volumes import Flag
from planewise.own_exams.segment_exams import SegmentedExam, _rows, _summary

#: End-diastole is the second of three phases, end-systole the first; the muscle differs between them.
FOUND = HeartVolumes(
    {"LV": [40.0, 100.0, 70.0], "RV": [60.0, 120.0, 90.0], "myocardium": [80.0, 100.0, 90.0]}, {}, 10.0, 1, 0
)


def marked(*flags: Flag) -> set[tuple[str, str]]:
    """Structure and column of the flagged numbers."""
    header, rows = _rows(FOUND, flags)
    return {(row[0], name) for row in rows for name, cell in zip(header, row, strict=True) if cell.endswith("(!)")}


@pytest.mark.parametrize(
    ("structure", "quantity", "phase", "column"),
    [
        ("LV", "volume", 1, "end-diastole"),
        ("RV", "volume", 0, "end-systole"),
        ("LV", "stroke volume", 0, "stroke volume"),
        ("RV", "ejection fraction", 0, "ejection fraction"),
        ("myocardium", "volume", 1, "end-diastole"),
        ("myocardium", "mass", 1, "mass"),
    ],
)
def test_a_flag_marks_its_own_number_alone(structure, quantity, phase, column):
    assert marked(Flag((structure,), quantity, phase, "odd")) == {(structure, column)}


def test_flags_of_other_phases_mark_nothing():
    assert marked(Flag(("LV", "RV"), "volume", 2, "odd"), Flag(("myocardium",), "volume", 0, "odd")) == set()


def test_the_list_of_exams_has_volumes_of_both_phases_and_the_mass_at_end_diastole():
    exam = SegmentedExam("aa", Path(), [], {}, [], ["a", "b", "c"], FOUND, [], [], None)
    summary = _summary(exam)
    assert summary.values == pytest.approx(
        {
            "phases": 3,
            "LV_end_diastole_ml": 100,
            "LV_end_systole_ml": 40,
            "LV_ejection_fraction_percent": 60,
            "RV_end_diastole_ml": 120,
            "RV_end_systole_ml": 60,
            "RV_ejection_fraction_percent": 50,
            "myocardial_mass_g": 105,
        }
    )
    assert summary.words == "LV 100 ml, ejection fraction LV 60 %, ejection fraction RV 50 %"
