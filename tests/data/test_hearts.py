from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.data import with_hearts
from planewise.data.hearts import heart_problem
from planewise.errors import InputError

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


def test_where_none_is_needed_there_may_be_none(tmp_path):
    """Masks are optional for the share of saliency in the heart: exams without a mask do not get this score."""
    item = {"exam": "aa", "image": "1", "label": write(tmp_path, "e.nii.gz", block(0, 0, 0)), "phase": "ED"}
    assert with_hearts([item], required=False) == []
    with pytest.raises(InputError):
        with_hearts([item])


def test_values_are_those_that_the_item_maps(tmp_path):
    mask = write(tmp_path, "m.nii.gz", block(20, 20, 4) * 50)
    item = {"exam": "aa", "image": "1", "label": mask}
    with pytest.raises(InputError):
        with_hearts([item])
    assert with_hearts([{**item, "label_map": {"100": 3}}])
    with pytest.raises(InputError):
        with_hearts([{**item, "label_map": {"100": 3}}], labels=(1, 2))
    other = {**item, "exam": "bb", "label_map": {"100": 3}}
    assert [kept["exam"] for kept in with_hearts([item, other])] == ["bb"], (
        "each item has its own map for the same file"
    )
