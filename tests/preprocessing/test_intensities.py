from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.errors import InputError
from planewise.preprocessing import ScaleToUnitd, StandardizeSliced


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
