"""Squares and cubes by one transform: MONAI's, with the mode that the axes want."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Resize
from planewise.preprocessing import ResizeSidesd


@pytest.mark.parametrize(("shape", "mode"), [((3, 9, 14), "bilinear"), ((2, 9, 14, 5), "trilinear")])
def test_as_monais_and_back(shape, mode):
    image = MetaTensor(torch.rand(shape))
    resize = ResizeSidesd("image", 8)
    item = resize({"image": image})
    wanted = Resize([8] * (len(shape) - 1), mode=mode)(image)
    assert torch.equal(item["image"].as_tensor(), wanted.as_tensor()) and torch.equal(
        item["image"].affine, wanted.affine
    )
    back = resize.inverse(item)["image"]
    assert back.shape == shape and torch.allclose(back.affine, image.affine)


def test_what_an_item_lacks():
    assert ResizeSidesd("image", 8, allow_missing_keys=True)({}) == {}
    with pytest.raises(KeyError):
        ResizeSidesd("image", 8)({})
