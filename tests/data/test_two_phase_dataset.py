from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose
from planewise.data import TwoPhaseDataset
from planewise.data.stack_dataset import slices_between
from planewise.preprocessing import KeepHeartd, LoadSliced, StandardizeSliced


def test_the_middle_third_of_a_stack():
    assert [slices_between(count, 1 / 3, 2 / 3) for count in (1, 2, 3, 6, 9, 10)] == [
        [0], [0], [1], [2, 3], [3, 4, 5], [3, 4, 5, 6],
    ]  # fmt: skip
    # the middles are at one quarter and three quarters, so both limits are inclusive
    assert slices_between(2, 0.25, 0.75) == [0, 1]
    assert slices_between(4, 0, 1) == [0, 1, 2, 3] and slices_between(10, 0.5, 0.5) == [4]
    assert slices_between(6, 0.8, 0.9) == [5], "0.92 is nearer to 0.85 than 0.75 is"


def write(folder, exam: str, phase: str, depth: int, **more) -> dict:
    """A volume whose pixels encode exam, phase and slice; the mask marks the left half as heart, except in slice 2."""
    value = 100 * int(exam) + 50 * (phase == "ES")
    volume = np.zeros((4, 6, depth), "f4") + value + np.arange(depth)
    volume[0, 0] = 0
    mask = np.zeros((4, 6, depth), "u1")
    mask[:2] = 3
    mask[..., 2] = 0
    for name, values in (("", volume), ("_gt", mask)):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"{exam}_{phase}{name}.nii.gz")
    item = {"image": str(folder / f"{exam}_{phase}.nii.gz"), "exam": f"e{exam}", "patient": f"p{exam}", "phase": phase}
    return item | {"label": str(folder / f"{exam}_{phase}_gt.nii.gz")} | more


@pytest.fixture
def items(tmp_path) -> list[dict]:
    return [
        write(tmp_path, "1", "ED", 6, group="NOR"), write(tmp_path, "1", "ES", 6, group="NOR") | {"phase": "es"},
        # out of order
        write(tmp_path, "2", "ES", 3, group="DCM"), write(tmp_path, "2", "ED", 3, group="DCM"),
        write(tmp_path, "3", "ED", 6, group="NOR"),
        write(tmp_path, "4", "ED", 6, group="NOR"), write(tmp_path, "4", "ES", 5, group="NOR"),
        write(tmp_path, "6", "ED", 5, group="NOR"), write(tmp_path, "6", "ES", 6, group="NOR"),
        write(tmp_path, "5", "ED", 6), write(tmp_path, "5", "ES", 6),
    ]  # fmt: skip


def loaded(item: dict) -> dict:
    """The unchanged pixels."""
    item = LoadSliced("image")(item)
    item["image_padding"] = torch.zeros(1)
    return item


def dataset(items, tmp_path, transform=loaded, **settings) -> TwoPhaseDataset:
    settings = {"cache_dir": tmp_path / "cache", "num_workers": 0, "progress": False, **settings}
    return TwoPhaseDataset(items, transform, ["NOR", "DCM"], **settings)


def test_both_phases_of_the_same_slices_stand_side_by_side(items, tmp_path):
    data = dataset(items, tmp_path, cache_dir=tmp_path / "own")
    assert [item["exam"] for item in data.items] == ["e1", "e2"] and data.labels.tolist() == [0, 1]
    assert list((tmp_path / "own").rglob("image.npy"))
    batch = data.__getitems__([1, 0])
    # e2 uses one of three slices, e1 two of six: end-diastole, then end-systole, then padding with zeros
    assert batch["image"].shape == (2, 4, 4, 6) and batch["label"].tolist() == [1, 0]
    assert batch["image"][:, :, 1, 1].tolist() == [[201, 0, 251, 0], [102, 103, 152, 153]]
    assert batch["mask"].tolist() == [[True, False], [True, True]] and batch["index"].tolist() == [1, 0]
    assert batch["image_padding"].shape == (2, 4)


def test_slices_and_exams_that_were_asked_for(items, tmp_path):
    data = dataset(items, tmp_path, slices=(0, 1), labelled=False, num_exams=3)
    assert [item["exam"] for item in data.items] == ["e1", "e2", "e5"], "others have different numbers of slices"
    assert data.items[0]["slices"] == [0, 1, 2, 3, 4, 5]
    data = dataset(items[-2:], tmp_path, labelled=False)
    assert data.labels.tolist() == [-1]


def test_a_slice_without_heart_goes_at_both_phases(items, tmp_path):
    kept = Compose([LoadSliced(["image", "label"]), KeepHeartd("image"), StandardizeSliced("image")])
    data = dataset(items[:2], tmp_path, transform=kept)
    assert data.items[0]["slices"] == [3], "slice 2 shows no heart"
    assert data.__getitems__([0])["image"].shape == (1, 2, 4, 6)
    # the last of three slices, and the last of six
    data = dataset(items[:4], tmp_path, transform=kept, slices=(0.8, 0.9))
    assert [item["exam"] for item in data.items] == ["e1"]
