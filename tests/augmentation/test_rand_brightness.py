"""Test brightness and contrast changes of each image against the equation."""

import pytest
import torch
from planewise.augmentation import RandBrightnessBatchd


def batch(size=(6, 5, 4), count=5):
    torch.manual_seed(0)
    return {"image": torch.rand(count, 2, *size), "image_padding": torch.zeros(count, 2)}


@pytest.mark.parametrize(("size", "colours"), [((6, 5, 4), False), ((7, 6), False), ((7, 6), True)])
def test_against_the_equation(size, colours):
    before = batch(size)
    torch.manual_seed(3)
    after = RandBrightnessBatchd(prob=0.6, brightness=0.2, contrast=(0.5, 1.5), channel_wise=colours)(before)
    torch.manual_seed(3)
    draws = torch.rand(5, 5 if colours else 3).double()
    changed = 0
    for row in range(5):
        chance, *amounts = draws[row].tolist()
        for channel in range(2):
            contrast, brightness = amounts[channel::2] if colours else amounts
            values = before["image"][row, channel].double()
            background = torch.zeros((), dtype=torch.float64)
            if chance < 0.6:
                changed += 1
                mean, factor, added = values.mean(), 0.5 + contrast, (2 * brightness - 1) * 0.2
                values = (mean + factor * (values - mean) + added).clamp(0, 1)
                background = (mean - factor * mean + added).clamp(0, 1)
            assert torch.allclose(after["image"][row, channel].double(), values, atol=1e-6)
            assert torch.allclose(after["image_padding"][row, channel].double(), background, atol=1e-6)
    assert 0 < changed < 10
