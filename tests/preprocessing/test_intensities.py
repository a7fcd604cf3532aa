"""Test intensities, and images of the heart alone."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, ResizeWithPadOrCropd
from planewise.errors import InputError
from planewise.preprocessing import InPlaneSpacingd, KeepHeartd, LoadSliced, ScaleToUnitd, StandardizeSliced
from planewise.preprocessing.intensities import widened


def test_channels_are_scaled_apart():
    image = torch.tensor([[0.0, 50.0, 100.0], [-1000.0, 0.0, 3000.0]]).reshape(2, 3, 1, 1)
    item = ScaleToUnitd("image")({"image": image})
    assert torch.allclose(item["image"].flatten(), torch.tensor([0, 0.5, 1, 0, 0.25, 1]))
    assert torch.equal(item["image_padding"], torch.zeros(2))


def test_a_photograph_is_scaled_by_all_its_colours():
    image = torch.stack([torch.full((2, 2), 0.5), torch.tensor([[0.25, 0.5], [0.75, 0.5]]), torch.full((2, 2), 0.75)])
    item = ScaleToUnitd("image")({"image": image})
    assert item["image"][:, 0, 0].tolist() == [0.5, 0.0, 1.0] and torch.equal(item["image_padding"], torch.zeros(3))
    with pytest.raises(InputError):
        ScaleToUnitd("image")({"image": torch.full((3, 2, 2), 0.5)})


def test_each_slice_is_standardised_by_itself_and_the_padding_is_known():
    torch.manual_seed(0)
    volume = torch.rand(1, 12, 10, 3) * torch.tensor([1.0, 40, 900])
    volume[:, :2] = 0  # padded
    item = StandardizeSliced("image")({"image": MetaTensor(volume, affine=torch.diag(torch.tensor([2.0, 2, 9, 1])))})
    flat = item["image"].as_tensor()[0].reshape(-1, 3)
    assert torch.allclose(flat.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(flat.std(0, correction=0), torch.ones(3), atol=1e-5)
    assert torch.allclose(item["image"][0, 0, 0].as_tensor(), item["image_padding"], atol=1e-5)
    assert item["image"].affine[2, 2] == 9


def test_a_slice_of_one_grey_value_becomes_zeros():
    item = StandardizeSliced("image")({"image": torch.full((1, 4, 4, 1), 7.0)})
    assert torch.equal(item["image"], torch.zeros(1, 4, 4, 1))
    assert torch.isfinite(item["image_padding"]).all()


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


@pytest.mark.parametrize("margin", [0.0, 3.0])
def test_no_pixel_outside_of_the_mask_has_a_say(margin, tmp_path):
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
            KeepHeartd("image", margin=margin),
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
