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


def test_what_came_in_stays_as_it_was():
    before = batch()
    copies = {key: value.clone() for key, value in before.items()}
    RandFlipRotate90Batchd(flip_prob=1, rotate90_prob=1)(before)
    assert all(torch.equal(before[key], copies[key]) for key in copies)


def test_shares_are_the_probabilities():
    torch.manual_seed(2)
    transform = RandFlipRotate90Batchd(flip_prob=0.3, rotate90_prob=0.5)
    flips, turns = transform._draw(4000, 3)
    assert torch.allclose(flips.double().mean(dim=0), torch.full((3,), 0.3, dtype=torch.float64), atol=0.03)
    shares = torch.bincount(turns, minlength=10) / 4000
    assert abs(shares[0] - 0.5) < 0.03 and (shares[1:] - 0.5 / 9).abs().max() < 0.02
    before = batch()
    assert torch.equal(RandFlipRotate90Batchd(flip_prob=0, rotate90_prob=0)(before)["image"], before["image"])


def test_what_makes_no_sense():
    with pytest.raises(ValueError, match="flip_prob must be a probability"):
        RandFlipRotate90Batchd(flip_prob=1.5)
    with pytest.raises(ValueError, match="all sides of images must be equal"):
        RandFlipRotate90Batchd(rotate90_prob=0.5)(batch(size=(5, 5, 6)))
    RandFlipRotate90Batchd(flip_prob=0.5)(batch(size=(5, 5, 6)))
