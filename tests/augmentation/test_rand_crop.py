"""Test that image and mask are cropped to the same box, at the place that the new affine gives."""

import pytest
import torch
from planewise.augmentation import RandCropBatchd


def batch(count=5, size=(9, 8, 7)):
    torch.manual_seed(0)
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64)).repeat(count, 1, 1)
    image = torch.rand(count, 2, *size)
    return {"image": image, "label": image[:, :1].round(), "affine": affine}


@pytest.mark.parametrize(("size", "box"), [((9, 8, 7), (4, 3, 7)), ((9, 8), (5, 8))])
def test_the_affine_says_where_the_box_lies(size, box):
    before = batch(size=size)
    after = RandCropBatchd(box)(before)
    assert after["image"].shape == (5, 2, *box) and after["label"].shape == (5, 1, *box)
    corners = set()
    for row in range(5):
        start = (after["affine"][row, :3, 3] / torch.tensor([2.0, 3, 4])).round().long().tolist()
        place = tuple(slice(at, at + side) for at, side in zip(start, box, strict=False))
        assert torch.equal(after["image"][row], before["image"][row][(slice(None), *place)])
        assert torch.equal(after["label"][row], before["label"][row][(slice(None), *place)])
        corners.add(tuple(start))
    assert len(corners) > 1


def test_every_place_comes_up():
    torch.manual_seed(1)
    many = {"image": torch.arange(6.0).reshape(1, 1, 6, 1).repeat(600, 1, 1, 2)}
    starts = RandCropBatchd((4, 2))(many)["image"][:, 0, 0, 0]
    assert torch.bincount(starts.long(), minlength=3).min() > 150 and starts.max() == 2
