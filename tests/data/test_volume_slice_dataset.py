from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, Resized
from planewise.data import SliceDataset, VolumeDataset, VolumeSliceDataset, volumes_or_slices
from planewise.preprocessing import LoadSliced, LoadVolumed, ScaleToUnitd

from .conftest import write_volume


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


def test_no_volumes_no_slices(tmp_path):
    assert len(VolumeSliceDataset([], Compose([]), cache_dir=tmp_path)) == 0
