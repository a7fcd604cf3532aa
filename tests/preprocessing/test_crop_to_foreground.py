"""Test that a volume is cropped to the box of its foreground, and that the crop can be inverted."""

import pytest
import torch
from monai.data import MetaTensor
from planewise.errors import InputError
from planewise.preprocessing import CropToForegroundd


def volume():
    image = torch.zeros(2, 9, 8, 7)
    image[0, 2:5, 3:6, 1:3] = 0.7
    image[1, 4, 6, 4] = 0.06
    image[0, 0, 0, 0] = 0.05  # equals the threshold, so it is background
    return MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 2, 2, 1], dtype=torch.float64)))


def test_the_box_holds_what_lies_above_in_any_channel():
    label = MetaTensor(torch.ones(1, 9, 8, 7))
    crop = CropToForegroundd(("image", "label"))
    item = crop({"image": volume(), "label": label})
    assert item["image"].shape == (2, 3, 4, 4) and item["label"].shape == (1, 3, 4, 4)
    assert torch.equal(item["image"].as_tensor(), volume().as_tensor()[:, 2:5, 3:7, 1:5])
    assert torch.allclose(item["image"].affine[:3, 3], torch.tensor([4.0, 6.0, 2.0], dtype=torch.float64))
    back = crop.inverse(item)["label"]
    assert back.shape == (1, 9, 8, 7) and back.sum() == 48 and back[0, 2:5, 3:7, 1:5].all()


def test_an_empty_foreground():
    with pytest.raises(InputError, match=r"the foreground is empty: no voxel is above 0.05"):
        CropToForegroundd("image")({"image": torch.full((1, 4, 4, 4), 0.05)})
