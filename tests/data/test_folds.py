from __future__ import annotations

import json
from collections import Counter

import pytest
from planewise.data import load_fold
from planewise.errors import InputError


@pytest.fixture
def datalist(tmp_path):
    """Twenty patients of two classes, each with two phases; three patients have a second exam."""
    sections = {"training": [], "validation": [], "test": []}
    for number in range(24):
        section = "test" if number >= 20 else "validation" if number >= 16 else "training"
        for exam in range(2 if number < 3 else 1):
            for phase in ("ED", "ES"):
                item = {"image": f"{number}{exam}{phase}.nii.gz", "exam": f"e{number}_{exam}", "patient": f"p{number}"}
                sections[section].append(item | {"phase": phase, "group": "AB"[number % 2]})
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(sections))
    return path


def patients(items) -> set[str]:
    return {item["patient"] for item in items}


def test_every_patient_is_held_out_once_with_both_phases_and_all_exams(datalist):
    held_out = []
    for fold in range(5):
        training, validation, test = (load_fold(datalist, s, fold) for s in ("training", "validation", "test"))
        assert not patients(training) & patients(validation) and len(patients(training) | patients(validation)) == 20
        assert patients(test) == {f"p{number}" for number in range(20, 24)}, (
            "the test patients are never divided into folds"
        )
        assert len(training) + len(validation) == 2 * 23
        phases = Counter(item["exam"] for item in validation)
        assert set(phases.values()) == {2}
        groups = Counter({item["patient"]: item["group"] for item in validation}.values())
        assert groups == {"A": 2, "B": 2}, "each fold has the same share of every class"
        held_out += sorted(patients(validation))
    assert sorted(held_out) == sorted(f"p{number}" for number in range(20))
    assert patients(load_fold(datalist, "validation", 0, seed=1)) != patients(load_fold(datalist, "validation", 0))


@pytest.mark.parametrize("first", [0, 1])
def test_a_patient_with_two_grades_counts_as_the_higher_one(first, tmp_path):
    """Each of the four patients with a grade 4 also has a healthy eye, listed first or last; each fold gets two of them."""
    worst = ["4", "0", "4", "0", "4", "0", "4", "0"]
    items = [
        {"image": f"{number}_{eye}.png", "exam": f"e{number}_{eye}", "patient": f"p{number}", "grade": grade}
        for number, high in enumerate(worst)
        for eye, grade in enumerate(("0", high) if first == 0 else (high, "0"))
    ]
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"training": items, "validation": [], "test": []}))
    for seed in range(8):
        held_out = load_fold(path, "validation", 0, 2, "grade", seed)
        assert Counter(item["grade"] for item in held_out) == {"0": 6, "4": 2}


def test_without_a_fold_the_sections_are_the_datalists(datalist):
    assert patients(load_fold(datalist, "validation")) == {f"p{number}" for number in range(16, 20)}
    assert len(load_fold(datalist, "all", 2)) == len(load_fold(datalist, "all")) == 2 * 27


def test_folds_that_cannot_be(datalist):
    with pytest.raises(InputError):
        load_fold(datalist, "training", 5)
    with pytest.raises(InputError):
        load_fold(datalist, "training", 0, 21)
