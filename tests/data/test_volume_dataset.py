"""Test that the cache holds whole volumes as preprocessed, in batches, and names those that it leaves out with the reason."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Resized
from planewise.data import (
    SliceDataset,
    VolumeDataset,
    VolumeSliceDataset,
    gather_stacks,
    load_datalist,
    volumes_or_slices,
)
from planewise.exams import index_folder, write_datalist
from planewise.preprocessing import CropToForegroundd, LoadSliced, LoadVolumed, ScaleToUnitd
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.head import HEADS

from .conftest import write_volume

KEYS = ("image", "label")
SIDE = 16


def preprocessing(keys=KEYS, side=SIDE) -> Compose:
    """The paper's preprocessing: min-max scaling, cropping to the foreground, resizing."""
    modes = ["trilinear", "nearest"][: len(keys)]
    return Compose(
        [
            LoadVolumed(keys, label_values=(0, 1, 2, 4)),
            ScaleToUnitd("image"),
            CropToForegroundd(keys),
            Resized(keys, spatial_size=(side,) * 3, mode=modes),
        ]
    )


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Items of four heads from the indexer."""
    root = tmp_path_factory.mktemp("brats")
    list(write_exams(Recipe("brats", population=HEADS.with_values(side=20)), root, 4))
    written = write_datalist(index_folder(root, anatomy="volume", split=(1, 0, 0)).datalist, root / "list.json")
    return load_datalist(written, "training")


@pytest.fixture
def dataset(items, tmp_path):
    return VolumeDataset(items, preprocessing(), cache_dir=tmp_path, num_workers=0, progress=False)


def test_a_batch_is_what_the_transforms_make_of_each_case(dataset, items):
    batch = dataset.__getitems__([2, 0])
    assert batch["image"].shape == (2, 4, SIDE, SIDE, SIDE) and batch["image"].dtype == torch.float32
    assert batch["label"].shape == (2, 1, SIDE, SIDE, SIDE) and batch["image_padding"].shape == (2, 4)
    for row, index in enumerate((2, 0)):
        single = preprocessing()(dict(items[index]))
        assert (batch["image"][row] - single["image"].as_tensor()).abs().max() < 5e-4  # half precision
        assert torch.equal(batch["label"][row], single["label"].as_tensor())
        assert torch.allclose(batch["affine"][row], single["image"].affine)
    assert float(batch["image"].min()) >= 0 and float(batch["image"].max()) <= 1


def test_slices_of_a_datalist_are_gathered_into_their_stack(tmp_path):
    values = np.random.default_rng(0).normal(100, 20, (9, 8, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2, 3, 1])), tmp_path / "a.nii.gz")
    result = index_folder(tmp_path, anatomy="any", split=(1, 0, 0))
    slices = load_datalist(write_datalist(result.datalist, tmp_path / "list.json"), "training")
    (volume,) = gather_stacks(slices[::-1])
    assert [entry["frame"] for entry in volume["image"]] == list(range(6))
    assert volume["exam"] == slices[0]["exam"] and volume["patient"] == slices[0]["patient"]
    # the slices run from the feet to the head, like the volume's third axis
    loaded = LoadVolumed("image")(volume)["image"]
    assert loaded.shape == (1, 9, 8, 6) and np.allclose(loaded.numpy()[0], values)
    assert np.allclose(loaded.affine, np.diag([2.0, 2, 3, 1]))
    json.dumps(volume)
    # the volume keeps only the values that are the same in all its slices
    (volume,) = gather_stacks([{**item, "scanner": "s", "drawn_by": str(n)} for n, item in enumerate(slices)])
    assert volume["scanner"] == "s" and "drawn_by" not in volume


@pytest.fixture
def both(tmp_path) -> tuple[VolumeDataset, VolumeSliceDataset]:
    paths = [write_volume(tmp_path / f"{number}.nii.gz", number, slices=6) for number in range(4)]
    items = [{"image": [str(paths[number]), str(paths[number + 1])], "exam": f"e{number}"} for number in (0, 2)]
    transform = Compose([LoadVolumed("image"), ScaleToUnitd("image"), Resized("image", (8, 8, 5), mode="trilinear")])
    options = {"cache_dir": tmp_path / "cache", "num_workers": 0, "progress": False}
    return VolumeDataset(items, transform, **options), VolumeSliceDataset(items, transform, **options)


def test_slices_are_those_of_the_volumes(both):
    volumes, slices = both
    assert len(slices) == 10
    assert [(item["exam"], item["slice"]) for item in slices.items[4:7]] == [("e0", 4), ("e2", 0), ("e2", 1)]
    batch, whole = slices.__getitems__([6, 0, 9]), volumes.__getitems__([1, 0, 1])
    assert batch["image"].shape == (3, 2, 8, 8) and batch["image"].dtype == torch.float32
    for row, number in enumerate((1, 0, 4)):
        assert torch.equal(batch["image"][row], whole["image"][row][..., number])
        # the slice's first voxel lies where the volume's does
        corner = whole["affine"][row] @ torch.tensor([0.0, 0, number, 1], dtype=torch.float64)
        assert torch.allclose(batch["affine"][row][:, 3], corner)
        assert torch.equal(batch["affine"][row][:3, :3], whole["affine"][row][:3, :3])
    assert batch["index"].tolist() == [6, 0, 9] and batch["image_padding"].shape == (3, 2)


@pytest.mark.parametrize(
    ("loader", "spatial_dims", "kind"),
    [(LoadVolumed, 3, VolumeDataset), (LoadVolumed, 2, VolumeSliceDataset), (LoadSliced, 2, SliceDataset)],
)
def test_what_is_loaded_and_what_the_network_takes_say_which_dataset_it_is(loader, spatial_dims, kind, tmp_path):
    """This holds however deeply the loader is nested."""
    transform = Compose([Compose([loader("image")])])
    assert type(volumes_or_slices([], transform, spatial_dims, cache_dir=tmp_path)) is kind
