"""Test that the index notes masks that are likely mistakes, and counts predicted masks separately."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import labelled
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.files.masks import (
    HEART_STRUCTURES,
    mark_predicted,
    mask_doubts,
    read_mask,
    unknown_values,
    why_unusable,
)
from planewise.findings import Finding, finding

from tests.exams.conftest import write_usual_exam
from tests.exams.test_labels import stack_affine

SHAPE = (24, 20, 5)


def heart(shape=SHAPE) -> np.ndarray:
    """A left ventricle (3) in a ring of myocardium (2), and a right ventricle (1) at its side."""
    i, j = np.indices(shape[:2])
    apart = np.hypot(i - 14, j - 10)
    plane = np.select([apart < 3, apart < 5, (apart < 9) & (i < 12)], [3, 2, 1], 0)
    return np.repeat(plane[..., None], shape[2], axis=2).astype(np.uint8)


def save(path, mask, affine=np.eye(4), predicted=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(mask.astype(np.uint8) if mask.dtype == np.int64 else mask, affine)
    if predicted:
        mark_predicted(image)
    nibabel.save(image, path)
    return path


EMPTY, SWAPPED = (finding("mask-doubtful", kind=kind) for kind in ("empty", "swapped"))


def odd(known: str, *values: int) -> Finding:
    return finding("mask-doubtful", kind="values", values=values, known=known)


@pytest.mark.parametrize(
    ("mask", "view", "said"),
    [
        (heart(), "sax", []),
        (np.zeros(SHAPE, np.uint8), "sax", [EMPTY]),
        (np.choose(heart(), (0, 3, 2, 1)).astype(np.uint8), "sax", [SWAPPED]),
        (np.where(heart(), 255, 0), "sax", [odd("1 to 3", 255)]),
        (np.where(heart(), 255, 0), "stack", [odd("1, 2, ...", 255)]),
        (heart() * 0.99999, "sax", []),
        (heart() * 85, "sax", [odd("1 to 3", 85, 170, 255)]),
    ],
)  # fmt: skip
def test_mistakes_in_a_mask(tmp_path, mask, view, said):
    mask = read_mask(save(tmp_path / "mask.nii.gz", mask))[0]
    assert mask_doubts(mask, view) == said
    assert bool(unknown_values(mask, view)) == any("known" in dict(each.values) for each in said)


BACKGROUND = heart() == 0


@pytest.mark.parametrize(
    ("mask", "value"),
    [
        (heart() / 2, 0.5),
        (np.where(BACKGROUND, np.nan, heart()), np.nan),
        (np.where(BACKGROUND, np.inf, heart()), np.inf),
        (np.where(BACKGROUND, -1, heart().astype(np.int16)), -1),
        (heart().astype(np.int16) * 256, 256),
    ],
)
def test_a_mask_with_values_that_are_no_labels_cannot_be_used(tmp_path, mask, value):
    why = why_unusable(save(tmp_path / "mask.nii.gz", mask))
    assert (why.code, why["kind"]) == ("mask-values", "number") and np.array_equal(why["value"], value, equal_nan=True)


def test_a_label_map_is_applied_first(tmp_path):
    mask = save(tmp_path / "mask.nii.gz", np.choose(heart(), (0, 3, 2, 255)).astype(np.uint8))
    assert mask_doubts(read_mask(mask, {"2": 2, "3": 1, "255": 3})[0], "sax") == []
    assert mask_doubts(read_mask(mask, {"2": 2, "3": 3, "255": 1})[0], "sax") == [SWAPPED]
    assert why_unusable(mask, {"255": 1}) == finding("mask-values", kind="unnamed", value=3)
    negative = save(tmp_path / "negative.nii.gz", np.where(BACKGROUND, -1, heart().astype(np.int16)))
    assert np.array_equal(read_mask(negative, {"-1": 0, "1": 1, "2": 2, "3": 3})[0], heart())


def exam_with_masks(folder, **masks):
    exam = write_usual_exam(folder / "in/case7")
    affine, _ = stack_affine(index_folder(exam.parent))
    for name, (mask, predicted) in masks.items():
        save(folder / f"masks/case7_{name}.nii.gz", mask, affine, predicted)
    return exam.parent, folder / "masks"


def test_values_that_no_structure_has_are_recorded_for_the_training(tmp_path):
    folder, masks = exam_with_masks(tmp_path, frame01=(heart() * 85, False), frame02=(heart(), False))
    result = index_folder(folder, labels_dir=masks, split=(1, 0, 0))
    found = {
        Path(item["label"]).name: item.get("unknown_labels") for item in result.datalist["training"] if "label" in item
    }
    assert found == {"case7_frame01.nii.gz": [85, 170, 255], "case7_frame02.nii.gz": None}
    items = [item for item in result.datalist["training"] if "label" in item]
    with pytest.raises(InputError):
        labelled(items, HEART_STRUCTURES["sax"], only=True)
    # the network's classes are consecutive, so only the next value can become a structure of its own
    with pytest.raises(InputError):
        labelled([items[0] | {"unknown_labels": [4]}], HEART_STRUCTURES["sax"], only=True)
    assert labelled(items, HEART_STRUCTURES["sax"]) == items, "other bundles take other structures as background"
    assert labelled(items, dict.fromkeys((1, 2, 3, 85, 170, 255), "a name"), only=True) == items
