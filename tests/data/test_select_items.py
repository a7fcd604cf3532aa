"""Test which items of a datalist a network learns from."""

from __future__ import annotations

import json
from collections import Counter

import nibabel
import numpy as np
import pytest
from planewise.data import at_cycle_points, cycle_fraction, load_fold, with_hearts
from planewise.data.select_items import heart_problem
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


def test_without_a_fold_the_sections_are_the_datalists(datalist):
    assert patients(load_fold(datalist, "validation")) == {f"p{number}" for number in range(16, 20)}
    assert len(load_fold(datalist, "all", 2)) == len(load_fold(datalist, "all")) == 2 * 27


def test_folds_that_cannot_be(datalist):
    with pytest.raises(InputError):
        load_fold(datalist, "training", 5)
    with pytest.raises(InputError):
        load_fold(datalist, "training", 0, 21)


def cine(phases: list[float], **where) -> list[dict]:
    return [{"exam": "a", "stack": "s", "phase": phase, **where} for phase in phases]


def phases(items) -> list[tuple[int, float]]:
    return [(item["slice"], item["phase"]) for item in items]


def test_the_phases_nearest_to_the_points_in_their_order():
    items = cine([0.0, 0.25, 0.5, 0.75], slice=0) + cine([0.05, 0.3, 0.38, 0.9], slice=1)
    assert phases(at_cycle_points(items, [0.4, 0.0])) == [(0, 0.0), (0, 0.5), (1, 0.05), (1, 0.38)]
    # 0.98 is nearer to the next cycle's 0 than 0.05 is
    assert phases(at_cycle_points(cine([0.05, 0.98], slice=2), [0.0])) == [(2, 0.98)]


def test_slices_of_two_stacks_of_an_exam_are_apart():
    items = cine([0.0, 0.5], slice=0) + [{**item, "stack": "4ch"} for item in cine([0.1, 0.4], slice=0)]
    assert [item["phase"] for item in at_cycle_points(items, [0.45])] == [0.5, 0.4]


def test_one_phase_is_taken_once_and_null_takes_all():
    items = cine([0.0], slice=0) + cine([0.0, 0.5], slice=1)
    assert phases(at_cycle_points(items, [0.0, 0.1])) == [(0, 0.0), (1, 0.0)]
    assert at_cycle_points(items, None) == items


def test_frames_that_are_named_by_their_phase():
    frames = [{"exam": "a", "stack": "4ch", "slice": 0, "phase": name} for name in ("ES", "ED")]
    assert at_cycle_points(frames, [0.0, 0.4]) == frames
    assert at_cycle_points(frames, [0.3]) == frames[:1] and at_cycle_points(frames, [0.9]) == frames[1:]
    assert [cycle_fraction(item) for item in (*frames, {"phase": 0.7}, {"phase": "frame05"}, {})] == [0.4, 0, 0.7, 0, 0]


SPACING = (2.0, 2.0, 10.0)


def block(*sizes: int, at: tuple[int, int, int] = (4, 4, 1)) -> np.ndarray:
    values = np.zeros((40, 40, 6), dtype="u1")
    i, j, k = at
    values[i : i + sizes[0], j : j + sizes[1], k : k + sizes[2]] = 2
    return values


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (block(20, 20, 4), None),  # 20 * 20 * 4 voxels of 0.04 ml: 64 ml
        (block(0, 0, 0), {"kind": "empty"}),
        (block(7, 7, 4), {"kind": "volume", "ml": pytest.approx(7.84)}),
        (block(20, 20, 1), {"kind": "slices", "seen": 1, "count": 6}),
        (block(20, 20, 4) | block(14, 14, 4, at=(25, 25, 1)), {"kind": "pieces", "percent": 67}),
        # corners that touch are one piece
        (block(16, 16, 4) | block(12, 12, 4, at=(20, 20, 1)), None),
        (block(20, 20, 4) | block(4, 4, 4, at=(30, 30, 1)), None),
    ],
)
def test_what_may_be_a_heart(mask, problem):
    found = heart_problem(mask > 0, SPACING)
    assert (found is None) == (problem is None)
    assert found is None or problem.items() <= dict(found.values).items()


def test_too_large_a_heart_and_a_stack_of_one_slice():
    assert heart_problem(np.ones((40, 40, 6), bool), (10.0, 4.0, 10.0))["ml"] == pytest.approx(3840)
    assert heart_problem(block(20, 20, 4)[:, :, 1:2] > 0, SPACING) is None


def write(folder, name: str, values: np.ndarray) -> str:
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*SPACING, 1.0])), folder / name)
    return str(folder / name)


def test_exams_without_a_usable_mask_are_left_out_and_said(tmp_path, caplog):
    good, empty = write(tmp_path, "doe_jane.nii.gz", block(20, 20, 4)), write(tmp_path, "e.nii.gz", block(0, 0, 0))
    (tmp_path / "broken.nii.gz").write_bytes(b"nothing")
    items = [
        {"exam": "aa", "image": "1", "label": good, "phase": "ED"},
        {"exam": "aa", "image": "2", "label": good, "phase": "ES"},
        {"exam": "aa", "image": "3", "phase": "0.2"},
        {"exam": "bb", "image": "4", "label": good, "phase": "ED"},
        {"exam": "bb", "image": "5", "label": empty, "phase": "ES"},
        {"exam": "cc", "image": "6"},
        {"exam": "dd", "image": "7", "label": str(tmp_path / "broken.nii.gz")},
    ]
    kept = with_hearts(items)
    assert kept == items[:2]
    text = "\n".join(caplog.messages)
    assert "3 of 4 exams are left out" in text and "1 images of the other exams have no mask" in text
    assert all(exam in text for exam in ("bb: ES", "cc: ", "dd: ")) and "aa" not in text
    assert "doe" not in text and str(tmp_path) not in text
    assert with_hearts(items, "full") == items
    with pytest.raises(InputError):
        with_hearts(items[3:])
    assert with_hearts([]) == []


def test_values_are_those_that_the_item_maps(tmp_path):
    mask = write(tmp_path, "m.nii.gz", block(20, 20, 4) * 50)
    item = {"exam": "aa", "image": "1", "label": mask}
    with pytest.raises(InputError):
        with_hearts([item])
    assert with_hearts([{**item, "label_map": {"100": 3}}])
    other = {**item, "exam": "bb", "label_map": {"100": 3}}
    assert [kept["exam"] for kept in with_hearts([item, other])] == ["bb"], (
        "each item has its own map for the same file"
    )
