from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose, ResizeWithPadOrCropd
from planewise.data import StackDataset, expand_volumes
from planewise.errors import InputError
from planewise.preprocessing import LoadSliced, StandardizeSliced

TASKS = ("abnormal", "acl")


@pytest.fixture
def items(tmp_path) -> list[dict]:
    """Three exams in MRNet's form, with 3, 5 and 4 slices."""
    rng = np.random.default_rng(0)
    made = []
    for number, slices in enumerate((3, 5, 4)):
        np.save(tmp_path / f"{number}.npy", rng.integers(1, 255, (slices, 20, 24), dtype=np.uint8))
        made.append({"image": str(tmp_path / f"{number}.npy"), "exam": f"e{number}", "abnormal": 1, "acl": number % 2})
    return made


@pytest.fixture
def transform() -> Compose:
    return Compose(
        [
            LoadSliced("image", field_without_spacing=12.0),
            ResizeWithPadOrCropd("image", (24, 24, -1)),
            StandardizeSliced("image"),
        ]
    )


def dataset(items, transform, tmp_path, tasks=TASKS, **options) -> StackDataset:
    return StackDataset(items, transform, tasks, cache_dir=tmp_path / "c", num_workers=0, progress=False, **options)


def test_a_sample_is_a_stack_with_its_labels(items, transform, tmp_path):
    stacks = dataset(items, transform, tmp_path)
    assert len(stacks) == 3
    batch = stacks.__getitems__([1, 0])
    assert batch["image"].shape == (2, 5, 24, 24) and batch["image"].dtype == torch.float32
    assert batch["mask"].tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert batch["label"].tolist() == [[1, 1], [1, 0]]
    for row, item in enumerate((items[1], items[0])):
        for rank, entry in enumerate(expand_volumes([item])):
            expected = transform(entry)
            assert torch.allclose(batch["image"][row, rank], expected["image"].as_tensor()[0, ..., 0], atol=2e-3)
            assert torch.allclose(batch["image_padding"][row, rank], expected["image_padding"][0])
    assert not batch["image"][1, 3:].any()


def test_labels_may_be_unknown_but_not_all(items, transform, tmp_path):
    del items[0]["acl"], items[2]["acl"], items[2]["abnormal"]
    stacks = dataset(items, transform, tmp_path)
    assert [item["exam"] for item in stacks.items] == ["e0", "e1"]
    assert torch.isnan(stacks.labels[0, 1]) and stacks.labels[0, 0] == 1
    with pytest.raises(InputError):
        dataset(items, transform, tmp_path, tasks=("fracture",), required=True)
    for item in items:
        item["ACL"] = 1
    with pytest.raises(InputError):
        dataset(
            [{k: v for k, v in item.items() if k != "acl"} for item in items],
            transform,
            tmp_path,
            tasks=("acl",),
            required=True,
        )
    # a validation section without labels does not prevent training
    assert len(dataset(items, transform, tmp_path, tasks=("fracture",))) == 0


@pytest.mark.parametrize("value", [2, "yes", 0.5])
def test_a_label_is_zero_or_one(items, transform, tmp_path, value):
    items[1]["acl"] = value
    with pytest.raises(InputError):
        dataset(items, transform, tmp_path)


def test_slices_of_a_stack_are_in_order_however_they_are_listed(items, transform, tmp_path):
    slices = expand_volumes(items[1:2])
    forth, back = (dataset(order, transform, tmp_path).__getitems__([0]) for order in (slices, slices[::-1]))
    assert torch.equal(forth["image"], back["image"]) and forth["image"].shape[1] == 5
