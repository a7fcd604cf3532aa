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
