"""Test that contrast, shading and noise differ between images and leave geometry, labels and background as they are."""

from __future__ import annotations

import pytest
import torch
from planewise.augmentation import RandIntensityBatchd


def batch(count: int = 5, size: tuple[int, ...] = (24, 20), channels: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    image = torch.rand(count, channels, *size)
    image[:, :, :6] = 0
    flat = image.reshape(count, -1)
    mean, deviation = flat.mean(-1), flat.std(-1, correction=0)
    shape = (count, *[1] * (image.ndim - 1))
    return {
        "image": (image - mean.reshape(shape)) / deviation.reshape(shape),
        "image_padding": (-mean / deviation)[:, None].repeat(1, channels),
        "label": (image > 0.5).float(),
        "affine": torch.eye(4, dtype=torch.float64).repeat(count, 1, 1),
    }


def test_gamma_is_the_power_of_the_image_scaled_to_one():
    before = batch()
    torch.manual_seed(3)
    after = RandIntensityBatchd(gamma=0.7)(before)
    torch.manual_seed(3)
    draws = 2 * torch.rand(5, 1) - 1
    for row, draw in enumerate(draws[:, 0].tolist()):
        image = before["image"][row, 0].double()
        low, high = image.min(), image.max()
        powered = ((image - low) / (high - low)) ** torch.e ** (0.7 * draw)
        expected = (powered - powered.mean()) / powered.std(correction=0)
        assert torch.allclose(after["image"][row, 0].double(), expected, atol=1e-5)


def test_shading_is_smooth_positive_and_within_its_bounds():
    before = batch(size=(32, 32))
    before["image"] = torch.linspace(-1, 1, 32).repeat(5, 1, 32, 1)
    before["image_padding"] = torch.full((5, 1), -3.0)
    torch.manual_seed(1)
    after = RandIntensityBatchd(bias_field=0.4)(before)
    shade = (after["image"] - after["image_padding"][..., None, None]) / (before["image"] + 3)
    # standardising again divides each image by a single number
    field = shade.log() - shade.log().mean(dim=(2, 3), keepdim=True)
    assert (field.amax(dim=(2, 3)) - field.amin(dim=(2, 3))).max() <= 0.8 + 1e-5
    assert field.diff(dim=2).abs().max() < 0.8 * 3 / 31 + 1e-5 and field.abs().max() > 0.05


def test_noise_is_a_share_of_the_images_own_deviation():
    before = batch(count=400, size=(40, 40))
    after = RandIntensityBatchd(noise=0.5)(before)
    # x + s n, standardised, correlates with x as 1 / sqrt(1 + s^2); s is uniform in [0, 0.5]
    correlation = (after["image"] * before["image"]).mean(dim=(1, 2, 3))
    strength = (correlation**-2 - 1).clamp_min(0).sqrt()
    assert float(strength.max()) < 0.53 and float(strength.mean()) == pytest.approx(0.25, abs=0.02)


def test_what_comes_out_is_standardised_and_the_rest_is_as_it_was():
    before = batch()
    after = RandIntensityBatchd(gamma=0.6, bias_field=0.4, noise=0.3)(before)
    assert torch.allclose(after["image"].mean(dim=(1, 2, 3)), torch.zeros(5), atol=1e-5)
    assert torch.allclose(after["image"].std(dim=(1, 2, 3), correction=0), torch.ones(5), atol=1e-5)
    assert after["label"] is before["label"] and after["affine"] is before["affine"]


def test_an_image_of_one_grey_value_stays_finite():
    before = {"image": torch.zeros(2, 1, 8, 8), "image_padding": torch.zeros(2, 1)}
    after = RandIntensityBatchd(gamma=0.5, bias_field=0.5, noise=0.5)(before)
    assert all(torch.isfinite(values).all() for values in after.values())
