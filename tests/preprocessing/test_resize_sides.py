"""Test that one transform resizes slices and volumes: it is MONAI's transform, with the mode that the number of axes
requires.
"""

import numpy as np
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


def test_masks_are_resized_by_nearest_neighbour():
    image, label = (MetaTensor(torch.randint(0, 5, (1, 9, 14, 5)).float()) for _ in range(2))
    item = ResizeSidesd(["image", "label"], 8)({"image": image, "label": label})
    assert torch.equal(item["label"], Resize([8] * 3, mode="nearest")(label))
    assert not set(item["image"].unique().tolist()) <= set(range(5))


def test_voxels_of_one_width_padded_and_cropped_around_the_middle_and_back():
    """24 x 24 x 30 mm in voxels of 2 x 2 x 3 mm, whose values are their positions along the third axis."""
    affine = torch.diag(torch.tensor([2.0, 2, 3, 1], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-5.0, 7, 100])
    depth = torch.arange(10.0).expand(12, 12, 10)[None]
    image, label = MetaTensor(depth, affine=affine), MetaTensor((depth > 4).float(), affine=affine)
    resize = ResizeSidesd(["image", "label"], 16, voxel_size=1.5)
    item = resize({"image": image, "label": label})
    moved, mask = item["image"], item["label"]
    assert moved.shape == mask.shape == (1, 16, 16, 16)
    assert np.allclose(moved.affine[:3, :3], 1.5 * np.eye(3))
    # 16 of 19 voxels along the third axis: all are inside, at the positions that their values name
    slices = (float(moved.affine[2, 3]) + 1.5 * np.arange(16) - 100) / 3
    assert np.allclose(moved[0, 8, 8], slices, atol=1e-4)
    assert set(mask.unique().tolist()) == {0, 1} and np.array_equal(mask[0, 8, 8], slices > 4.5)
    back = resize.inverse(item)["image"]
    assert back.shape == image.shape and np.allclose(back.affine, affine)
    assert np.allclose(back[0, 6, 6, 2:8], image[0, 6, 6, 2:8], atol=1e-3)
    small = resize({"image": MetaTensor(1 + depth[:, :4, :4, :4], affine=affine), "label": label})["image"]
    assert small.shape == (1, 16, 16, 16) and float(small[0, 0].abs().max()) == 0, "small volumes are padded with 0"
