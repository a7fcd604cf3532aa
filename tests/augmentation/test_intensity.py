"""Test what changes the intensities of a batch."""

from __future__ import annotations

import pytest
import torch
from planewise.augmentation import RandBlurBatchd, RandBrightnessBatchd, RandIntensityBatchd, gaussian_blur
from scipy.ndimage import gaussian_filter


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


def volumes(size=(6, 5, 4), count=5):
    torch.manual_seed(0)
    return {"image": torch.rand(count, 2, *size), "image_padding": torch.zeros(count, 2)}


@pytest.mark.parametrize(("size", "colours"), [((6, 5, 4), False), ((7, 6), False), ((7, 6), True)])
def test_against_the_equation(size, colours):
    before = volumes(size)
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


def test_each_image_is_blurred_by_its_own_gaussian():
    torch.manual_seed(0)
    image = torch.randn(3, 2, 20, 26, dtype=torch.float64)
    sigma = torch.tensor([0.4, 1.0, 2.0], dtype=torch.float64)
    blurred = gaussian_blur(image, sigma, 2.0)
    for number, width in enumerate(sigma.tolist()):
        for channel in range(2):
            expected = gaussian_filter(image[number, channel].numpy(), width, mode="nearest", truncate=7 / width)
            assert torch.allclose(blurred[number, channel], torch.from_numpy(expected), atol=2e-3)


def test_so_many_are_blurred_and_the_others_are_left():
    torch.manual_seed(1)
    image = torch.randn(400, 1, 8, 8)
    batch = RandBlurBatchd(0.3, (1.0, 2.0))({"image": image, "affine": 1})
    same = (batch["image"] == image).flatten(1).all(dim=1)
    assert 0.6 < float(same.double().mean()) < 0.8 and batch["affine"] == 1
    roughness = [(values.diff(dim=2) ** 2).mean(dim=(1, 2, 3)) for values in (image, batch["image"])]
    assert bool((roughness[1][~same] < 0.5 * roughness[0][~same]).all())
    assert RandBlurBatchd(0.0)({"image": image})["image"] is image
    assert not bool((RandBlurBatchd(1.0, (1.0, 2.0))({"image": image})["image"] == image).flatten(1).all(dim=1).any())
