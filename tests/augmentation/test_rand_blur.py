from __future__ import annotations

import torch
from planewise.augmentation import RandBlurBatchd, gaussian_blur
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
