"""Test the division into sections by patient."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from planewise.exams.division import split_by_hash, split_stratified
from planewise.files.datalists import SECTIONS

PATIENTS = [f"patient:{number}" for number in range(400)]


def test_patients_keep_their_section_when_others_come():
    few, many = split_by_hash(PATIENTS[:50], (0.8, 0.1, 0.1), 0), split_by_hash(PATIENTS, (0.8, 0.1, 0.1), 0)
    assert all(many[patient] == section for patient, section in few.items())


def test_nothing_but_patient_and_seed_decides():
    """This follows the rule, without salt and without Python's hash seed, so that the result is the same on every machine."""
    sections = split_by_hash(PATIENTS, (0.6, 0.2, 0.2), 7)
    for patient in PATIENTS:
        draw = int(hashlib.sha256(f"7|{patient}".encode()).hexdigest()[:16], 16) / 16**16
        assert sections[patient] == ("training" if draw < 0.6 else "validation" if draw < 0.8 else "test")


def test_acdc_is_divided_as_in_the_paper():
    groups = {
        f"patient{number:03d}": ["DCM", "HCM", "MINF", "NOR", "RV"][(number - 1) // 20] for number in range(1, 101)
    }
    sections = split_stratified(groups, (0.64, 0.16, 0.2), 0)
    assert Counter(sections.values()) == {"training": 64, "validation": 16, "test": 20}
    for group in set(groups.values()):
        counts = Counter(sections[patient] for patient in groups if groups[patient] == group)
        assert 12 <= counts["training"] <= 14
        assert 3 <= counts["validation"] <= 4
        assert 3 <= counts["test"] <= 5


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("abc"), min_size=1, max_size=40), st.integers(0, 5))
def test_stratified_shares_hold_for_any_groups(groups, seed):
    sections = split_stratified(groups, (0.5, 0.25, 0.25), seed)
    assert set(sections) == set(groups)
    counts = Counter(sections.values())
    for section, share in zip(SECTIONS, (0.5, 0.25, 0.25), strict=True):
        assert abs(counts[section] - share * len(groups)) <= 1
