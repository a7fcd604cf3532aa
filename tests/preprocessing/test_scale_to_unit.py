"""Test that each channel is scaled to 0 to 1 by its own range."""

import pytest
import torch
from planewise.errors import InputError
from planewise.preprocessing import ScaleToUnitd


def test_channels_are_scaled_apart():
    image = torch.tensor([[0.0, 50.0, 100.0], [-1000.0, 0.0, 3000.0]]).reshape(2, 3, 1, 1)
    item = ScaleToUnitd("image")({"image": image})
    assert torch.allclose(item["image"].flatten(), torch.tensor([0, 0.5, 1, 0, 0.25, 1]))
    assert torch.equal(item["image_padding"], torch.zeros(2))


def test_a_channel_of_one_value():
    image = torch.cat([torch.arange(8.0), torch.full((8,), 7.0)]).reshape(2, 2, 2, 2)
    with pytest.raises(InputError, match="channel 2 has the value 7 everywhere"):
        ScaleToUnitd("image")({"image": image})


def test_a_photograph_is_scaled_by_all_its_colours():
    image = torch.stack([torch.full((2, 2), 0.5), torch.tensor([[0.25, 0.5], [0.75, 0.5]]), torch.full((2, 2), 0.75)])
    item = ScaleToUnitd("image")({"image": image})
    assert item["image"][:, 0, 0].tolist() == [0.5, 0.0, 1.0] and torch.equal(item["image_padding"], torch.zeros(3))
    with pytest.raises(InputError, match="the photograph has the value 0.5 everywhere"):
        ScaleToUnitd("image")({"image": torch.full((3, 2, 2), 0.5)})
