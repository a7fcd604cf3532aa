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
    label_values,
    labels_of,
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
        (np.choose(heart(), (0, 3, 2, 1)).astype(np.uint8), "4ch", []),
        (np.where(heart() == 3, 3, 0).astype(np.uint8), "sax", []),
        (np.where(heart(), 255, 0), "sax", [odd("1 to 3", 255)]),
        (np.where(heart(), 255, 0), "stack", [odd("1, 2, ...", 255)]),
        (heart() * 2, "sax", [odd("1 to 3", 2, 4, 6)]),
        (heart() * 2, "stack", []),
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


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int64, np.float32, np.float64])
def test_labels_do_not_depend_on_the_type_of_the_voxels(kind):
    near = heart() + (np.random.default_rng(0).uniform(-9e-4, 9e-4, SHAPE) if kind in (np.float32, np.float64) else 0)
    labels = labels_of(near.astype(kind))
    assert labels.dtype == np.uint8 and np.array_equal(labels, heart())


def test_a_label_map_is_applied_first(tmp_path):
    mask = save(tmp_path / "mask.nii.gz", np.choose(heart(), (0, 3, 2, 255)).astype(np.uint8))
    assert mask_doubts(read_mask(mask, {"2": 2, "3": 1, "255": 3})[0], "sax") == []
    assert mask_doubts(read_mask(mask, {"2": 2, "3": 3, "255": 1})[0], "sax") == [SWAPPED]
    assert why_unusable(mask, {"255": 1}) == finding("mask-values", kind="unnamed", value=3)
    negative = save(tmp_path / "negative.nii.gz", np.where(BACKGROUND, -1, heart().astype(np.int16)))
    assert np.array_equal(read_mask(negative, {"-1": 0, "1": 1, "2": 2, "3": 3})[0], heart())


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_the_type_of_the_voxels_does_not_matter(tmp_path, kind):
    mask = read_mask(save(tmp_path / "mask.nii.gz", heart().astype(kind)[..., None]))[0]
    assert mask.shape == SHAPE and mask_doubts(mask, "sax") == []


def test_a_mask_that_cannot_be_read_cannot_be_used(tmp_path):
    (tmp_path / "mask.nii.gz").write_bytes(b"no gzip")
    assert why_unusable(tmp_path / "mask.nii.gz") == finding("nifti-damaged")
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "mask.nii.gz")
    assert why_unusable(tmp_path / "mask.nii.gz") == finding("nifti-image", kind="colours")


def exam_with_masks(folder, **masks):
    exam = write_usual_exam(folder / "in/case7")
    affine, _ = stack_affine(index_folder(exam.parent))
    for name, (mask, predicted) in masks.items():
        save(folder / f"masks/case7_{name}.nii.gz", mask, affine, predicted)
    return exam.parent, folder / "masks"


def test_the_index_notes_them(tmp_path):
    """The first phase has an empty mask, and the third a mask of four of the five slices."""
    folder, masks = exam_with_masks(
        tmp_path, frame01=(0 * heart(), False), frame02=(heart(), False), frame03=(heart()[..., :4], False)
    )
    result = index_folder(folder, labels_dir=masks)
    (name,) = result.datalist["exams"]
    assert [each for each in result.warnings if each.code.startswith("mask")] == [
        EMPTY.about(f"case7_frame01.nii.gz (exam {name})"),
        finding("masks-note", f"case7_frame03.nii.gz (exam {name})", count=4, of=5, kind="covers"),
    ]


@pytest.mark.parametrize(
    "change", [lambda mask: mask / 2, lambda mask: np.where(mask > 0, mask, np.nan), lambda mask: -1.0 * mask]
)
def test_a_mask_with_such_values_replaces_no_other_one(tmp_path, change):
    names = {"frame01": (heart(), False), "frame01_corrected": (change(heart()), False)}
    folder, masks = exam_with_masks(tmp_path, **names)
    result = index_folder(folder, labels_dir=masks)
    items = [item for section in ("training", "validation", "test") for item in result.datalist[section]]
    assert {item["label"] for item in items if "label" in item} == {str(masks / "case7_frame01.nii.gz")}
    ((name, why),) = result.unmatched
    assert (name, why.code) == ("case7_frame01_corrected.nii.gz", "mask-values")


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


def test_predicted_masks_are_counted_apart(tmp_path):
    folder, masks = exam_with_masks(tmp_path, frame01=(heart(), True), frame02=(heart(), False))
    result = index_folder(folder, labels_dir=masks)
    assert finding("masks-note", count=1, kind="predicted-left-out") in result.warnings
    (masks / "case7_frame02.nii.gz").unlink()
    result = index_folder(folder, labels_dir=masks)
    assert finding("masks-note", count=1, exams=1, kind="predicted") in result.warnings
    with pytest.raises(InputError):
        index_folder(folder, labels_dir=masks, stratify="label")


def test_colours_and_sizes_that_cannot_be_are_no_masks(tmp_path):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "colours.nii.gz")
    assert label_values(tmp_path / "colours.nii.gz") == []
    header = nibabel.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)).header
    header.set_data_shape((32767, 32767, 100))
    header["vox_offset"] = 352
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + bytes(104))
    assert label_values(tmp_path / "huge.nii") == []
    assert label_values(save(tmp_path / "heart.nii.gz", heart())) == [0, 1, 2, 3]
