"""Test that flips and quarter turns move voxels, masks and affines together and change nothing else."""

import pytest
import torch
from planewise.augmentation import RandFlipRotate90Batchd


def batch(count=6, size=(5, 5, 5)):
    torch.manual_seed(0)
    image = torch.rand(count, 2, *size)
    affine = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    affine[:, :3, 3] = torch.rand(count, 3, dtype=torch.float64)
    return {
        "image": image,
        "label": (image[:, :1] * 4).round(),
        "affine": affine,
        "image_padding": torch.zeros(count, 2),
    }


@pytest.mark.parametrize("size", [(5, 5, 5), (6, 6)])
def test_every_voxel_keeps_its_place_in_space(size):
    before = batch(size=size)
    torch.manual_seed(1)
    after = RandFlipRotate90Batchd(flip_prob=0.5, rotate90_prob=0.7)(before)
    assert not torch.equal(after["image"], before["image"])
    for row in range(6):
        # positions of the voxels in space, before and after, with their values
        def voxels(data, row=row):
            index = torch.cartesian_prod(*(torch.arange(side) for side in size)).double()
            index = torch.cat([index, torch.zeros(len(index), 3 - len(size)), torch.ones(len(index), 1)], dim=1)
            places = (index @ data["affine"][row].T)[:, :3]
            values = torch.cat([data["image"][row], data["label"][row]]).flatten(1).T
            return {
                tuple(place): tuple(value)
                for place, value in zip(places.mul(1e4).round().tolist(), values.tolist(), strict=True)
            }

        assert voxels(before) == voxels(after)
