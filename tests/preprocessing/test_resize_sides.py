"""Test the sides of images."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Resize
from planewise.preprocessing import CropToForegroundd, LimitSlicesd, ResizeSidesd
from planewise.preprocessing.resample import evenly_spaced


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


@pytest.mark.parametrize("side", [10, 200])
@pytest.mark.parametrize("shape", [(1, 50, 20), (1, 50, 20, 20)])
def test_a_mask_stays_where_its_image_shows_the_structure(shape, side):
    image = torch.linspace(0, 1, 50).reshape(1, 50, *[1] * (len(shape) - 2)).expand(shape).clone()
    items = {"image": MetaTensor(image), "label": MetaTensor((image > 20.5 / 49).float())}
    resized = ResizeSidesd(["image", "label"], side)(items)
    assert torch.equal(resized["label"] > 0.5, resized["image"] > 20.5 / 49)


@pytest.mark.parametrize("voxel_size", [None, 1.5])
@pytest.mark.parametrize("stored", ["LPS", "RAS", "PIR", "SAL"])
def test_volumes_of_any_orientation_become_one_and_results_return(stored, voxel_size):
    """The same volume in several orientations; some have the axes of the network in another order."""
    affine = nibabel.affines.from_matvec(np.diag([-2.0, -1.5, 3.0]), [30, 20, -10])  # LPS
    volume = nibabel.Nifti1Image(np.random.default_rng(0).random((9, 14, 6)), affine)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(stored)
    )
    images = [
        MetaTensor(torch.from_numpy(each.get_fdata(dtype=np.float32))[None], affine=torch.from_numpy(each.affine))
        for each in (volume, volume.as_reoriented(change))
    ]
    labels = [MetaTensor((image > 0.5).float(), meta=image.meta) for image in images]
    resize = ResizeSidesd(["image", "label"], 8, voxel_size, axcodes="LPS")
    items = [resize({"image": image, "label": label}) for image, label in zip(images, labels, strict=True)]
    for key in ("image", "label"):
        assert torch.allclose(items[0][key].as_tensor(), items[1][key].as_tensor(), atol=1e-5)
        assert torch.allclose(items[0][key].affine, items[1][key].affine)
    # what is stored in this orientation is not touched
    as_stored = ResizeSidesd(["image", "label"], 8, voxel_size)({"image": images[0], "label": labels[0]})
    assert all(torch.equal(items[0][key].as_tensor(), as_stored[key].as_tensor()) for key in ("image", "label"))
    back = resize.inverse(items[1])["image"]
    assert back.shape == images[1].shape and torch.allclose(back.affine, images[1].affine)


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


@pytest.mark.parametrize(
    ("count", "most", "ranks"),
    [(5, None, [0, 1, 2, 3, 4]), (3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (10, 4, [0, 3, 6, 9]), (6, 4, [0, 2, 3, 5])],
)
def test_evenly_from_the_first_to_the_last(count, most, ranks):
    assert evenly_spaced(count, most) == ranks


def test_a_volume_keeps_as_many_as_it_may():
    image = MetaTensor(torch.arange(9.0).expand(1, 2, 2, 9))
    item = LimitSlicesd("image", max_slices=3)({"image": image})
    assert item["image"].shape == (1, 2, 2, 3) and item["image"][0, 0, 0].tolist() == [0, 4, 8]
    assert item["kept_slices"] == [0, 4, 8]
    assert LimitSlicesd("image", None)({"image": image})["image"].shape[-1] == 9
