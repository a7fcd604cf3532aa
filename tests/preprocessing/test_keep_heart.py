from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, ResizeWithPadOrCropd
from planewise.preprocessing import InPlaneSpacingd, KeepHeartd, LoadSliced, StandardizeSliced
from planewise.preprocessing.keep_heart import widened

AFFINE = np.array([[-1.5, 0.2, 0.0, 10], [0.3, 1.25, 0, 20], [0.1, 0, 8, -30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5, 6.0, 100.0])
def test_widening_against_a_plain_loop(margin):
    draw = np.random.default_rng(int(margin * 10))
    mask = draw.random((15, 12)) > 0.95
    spacing = (1.5, 1.0)
    expected = np.zeros_like(mask)
    for i in range(15):
        for j in range(12):
            for k, m in np.argwhere(mask):
                apart = (((i - k) * spacing[0]) ** 2 + ((j - m) * spacing[1]) ** 2) ** 0.5
                expected[i, j] |= apart <= margin
    assert np.array_equal(widened(torch.from_numpy(mask), spacing, margin).numpy(), expected)


def slice_and_mask() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    image = 50 + 100 * torch.rand(1, 20, 24, 1, generator=draw)
    mask = torch.zeros(1, 20, 24, 1)
    mask[0, 6:9, 10:14] = 2
    mask[0, 9:11, 10:12] = 3
    mask[0, 4, 11] = 1
    mask[0, 0, 0] = 5  # another structure
    return image, mask


def item_of(image: torch.Tensor, mask: torch.Tensor) -> dict:
    affine = torch.from_numpy(AFFINE)
    return {"image": MetaTensor(image, affine=affine), "label": MetaTensor(mask, affine=affine), "exam": "7f3a"}


def test_the_heart_is_kept_and_the_rest_is_zero():
    image, mask = slice_and_mask()
    kept = KeepHeartd("image")(item_of(image, mask))
    assert "label" not in kept
    for i in range(20):
        for j in range(24):
            inside = mask[0, i, j, 0] in (1, 2, 3)
            assert float(kept["image"][0, i, j, 0]) == (float(image[0, i, j, 0]) if inside else 0.0)
    assert torch.equal(torch.as_tensor(kept["image"].affine), torch.from_numpy(AFFINE))
    # with another label value for the heart
    kept = KeepHeartd("image", labels=(5,))(item_of(image, mask))
    assert float(kept["image"].sum()) == float(image[0, 0, 0, 0])


def test_the_box_of_the_heart_keeps_its_place_in_space():
    image, mask = slice_and_mask()
    kept = KeepHeartd("image", crop=True)(item_of(image, mask))
    assert kept["image"].shape == (1, 7, 4, 1)
    corner = torch.as_tensor(kept["image"].affine, dtype=torch.float64) @ torch.tensor([0, 0, 0, 1.0]).double()
    assert np.allclose(corner.numpy(), AFFINE @ [4, 10, 0, 1])
    assert float(kept["image"][0, 0, 1, 0]) == float(image[0, 4, 11, 0])


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("margin", [0.0, 3.0])
def test_no_pixel_outside_of_the_mask_has_a_say(crop, margin, tmp_path):
    """Images pass the whole preprocessing, with cubic interpolation and z-score."""
    image, mask = slice_and_mask()
    nibabel.save(nibabel.Nifti1Image(mask[0].numpy().astype("u1"), AFFINE), tmp_path / "mask.nii.gz")
    # unchanged under the widened mask, arbitrary elsewhere
    spacing = np.linalg.norm(AFFINE[:3, :2], axis=0)
    heart = widened(torch.isin(mask[0, :, :, 0], torch.tensor([1.0, 2, 3])), spacing, margin)[None, :, :, None]
    others = [image, torch.where(heart, image, -4000.0), torch.where(heart, image, 1e4 * torch.rand(image.shape))]
    transform = Compose(
        [
            LoadSliced(["image", "label"]),
            KeepHeartd("image", margin=margin, crop=crop),
            InPlaneSpacingd("image", pixdim=[1.1, 1.1, -1.0], mode=3, padding_mode="reflect"),
            ResizeWithPadOrCropd("image", spatial_size=[32, 32, -1]),
            StandardizeSliced("image"),
        ]
    )
    found = []
    for number, pixels in enumerate(others):
        path = tmp_path / f"{number}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(pixels[0].numpy(), AFFINE), path)
        found.append(transform({"image": str(path), "label": str(tmp_path / "mask.nii.gz"), "frame": 0}))
    assert float(torch.as_tensor(found[0]["image"]).std()) > 0.5
    for other in found[1:]:
        assert torch.equal(torch.as_tensor(other["image"]), torch.as_tensor(found[0]["image"]))
        assert torch.equal(other["image_padding"], found[0]["image_padding"])
