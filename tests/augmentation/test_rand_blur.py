from __future__ import annotations

import pytest
import torch
from planewise.augmentation import RandBlurBatchd, gaussian_blur, rand_blur
from scipy.ndimage import gaussian_filter


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


def test_how_much_is_drawn_apart_from_whether(monkeypatch):
    """Few images are blurred, and their widths cover the whole range."""
    drawn = []
    blur = rand_blur.gaussian_blur
    monkeypatch.setattr(
        rand_blur, "gaussian_blur", lambda image, sigma, most: drawn.append(sigma) or blur(image, sigma, most)
    )
    torch.manual_seed(1)
    RandBlurBatchd(0.2, (1.0, 2.0))({"image": torch.zeros(400, 1, 4, 4)})
    assert 1.0 < float(drawn[0].min()) < 1.1 and 1.9 < float(drawn[0].max()) < 2.0


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        RandBlurBatchd(1.5)
    with pytest.raises(ValueError, match="smallest, largest"):
        RandBlurBatchd(0.5, (2.0, 1.0))
