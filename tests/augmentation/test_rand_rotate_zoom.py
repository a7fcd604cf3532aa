from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.augmentation import RandRotateZoomBatchd
from scipy.ndimage import affine_transform


def batch_of(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"image": image, "image_padding": image.new_zeros(image.shape[:2])}


@pytest.mark.parametrize("axes", [2, 3])
def test_rates_axes_and_ranges_are_those_asked_for(axes):
    torch.manual_seed(0)
    drawn = RandRotateZoomBatchd(30.0, 0.5, (0.8, 1.2), 0.2, spatial_dims=axes)._draw(4000, (9,) * axes)
    linear = drawn[:, :, :axes]
    magnify = torch.linalg.det(linear) ** (-1 / axes)
    zoomed = (magnify - 1).abs() > 1e-9
    rotation = linear * magnify[:, None, None]
    rotated = (rotation - torch.eye(axes, dtype=torch.float64)).abs().amax(dim=(1, 2)) > 1e-9
    assert float(zoomed.double().mean()) == pytest.approx(0.2, abs=0.02)
    assert float(rotated.double().mean()) == pytest.approx(0.5, abs=0.025)
    assert 0.8 <= float(magnify.min()) < 0.81 and 1.19 < float(magnify.max()) <= 1.2
    traces = torch.diagonal(rotation, dim1=1, dim2=2).sum(dim=1)
    angle = torch.acos((traces[rotated] - (axes - 2)).clamp(-2, 2) / 2).rad2deg()
    assert 29 < float(angle.max()) <= 30.0001
    # both directions are equally frequent
    skew = (rotation - rotation.mT)[rotated]
    way = skew[:, 1, 0] if axes == 2 else skew[:, [2, 0, 1], [1, 2, 0]].sum(dim=1)
    assert float((way > 0).double().mean()) == pytest.approx(0.5, abs=0.05)
    if axes == 3:
        # the rotation is about one axis, which stays fixed; all axes are equally frequent
        still = (torch.diagonal(rotation[rotated], dim1=1, dim2=2) > 1 - 1e-9).double()
        assert torch.equal(still.sum(dim=1), torch.ones(len(still), dtype=torch.float64))
        assert still.mean(dim=0).tolist() == pytest.approx([1 / 3] * 3, abs=0.04)
    # the centre stays fixed
    centre = torch.full((axes,), 4.0, dtype=torch.float64)
    assert torch.allclose(linear @ centre + drawn[:, :, axes], centre.expand(4000, -1))


@pytest.mark.parametrize("axes", [2, 3])
def test_images_are_those_of_scipy(axes):
    image = torch.rand(6, 2, *[11] * axes)
    transform = RandRotateZoomBatchd(180.0, 0.8, (0.7, 1.4), 0.8, spatial_dims=axes)
    torch.manual_seed(1)
    moved = transform(batch_of(image))["image"]
    torch.manual_seed(1)
    maps = transform._draw(6, (11,) * axes).numpy()
    for number in range(6):
        for channel in range(2):
            padded = np.pad(image[number, channel].numpy(), 1)  # beyond the edge, values fade to the background
            matrix, offset = maps[number, :, :axes], maps[number, :, axes] + 1 - maps[number, :, :axes] @ np.ones(axes)
            expected = affine_transform(padded, matrix, offset, order=1)[(slice(1, -1),) * axes]
            assert np.allclose(moved[number, channel], expected, atol=1e-4)
