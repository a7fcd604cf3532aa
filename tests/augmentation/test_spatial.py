"""Test what moves the pixels of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.augmentation import (
    RandAffineBatchd,
    RandCropBatchd,
    RandFlipRotate90Batchd,
    RandRotateZoomBatchd,
    spatial,
)
from scipy.ndimage import affine_transform, map_coordinates


def batch(count: int = 6, size: tuple[int, int] = (20, 24)) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    label = torch.zeros(count, 1, *size)
    label[:, :, 5:12, 8:14] = 3
    return {
        "image": torch.randn(count, 1, *size),
        "label": label,
        "affine": torch.eye(4, dtype=torch.float64).repeat(count, 1, 1),
        "image_padding": torch.arange(count, dtype=torch.float32)[:, None] - 50,
    }


def slow_sampling(image: torch.Tensor, to_input: torch.Tensor, fill: float) -> torch.Tensor:
    """Bilinear interpolation, pixel by pixel; pixels outside the image get ``fill``."""
    height, width = image.shape
    padded = torch.full((height + 2, width + 2), fill, dtype=torch.float64)
    padded[1:-1, 1:-1] = image
    out = torch.full((height, width), fill, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            x, y = (to_input @ torch.tensor([i, j, 0, 1], dtype=torch.float64))[:2].tolist()
            if not (-1 < x < height and -1 < y < width):
                continue
            x0, y0 = int(x + 1) - 1, int(y + 1) - 1
            for di in (0, 1):
                for dj in (0, 1):
                    weight = (1 - abs(x - x0 - di)) * (1 - abs(y - y0 - dj))
                    out[i, j] += weight * (padded[x0 + di + 1, y0 + dj + 1] - fill)
    return out


def test_against_slow_sampling_through_the_new_affine():
    before = batch()
    after = RandAffineBatchd(rotate=180, zoom=(0.7, 1.4), shift=0.2, flip_prob=0.5)(before)
    for row in range(2):
        expected = slow_sampling(
            before["image"][row, 0].double(), after["affine"][row], float(before["image_padding"][row])
        )
        assert torch.allclose(after["image"][row, 0].double(), expected, atol=1e-3)


def test_the_label_moves_with_the_image_and_keeps_its_values():
    before = batch()
    before["image"] = before["label"].clone()
    before["image_padding"].zero_()
    after = RandAffineBatchd(rotate=30, zoom=(0.8, 1.2))(before)
    assert set(after["label"].unique().tolist()) == {0, 3}
    # compare only voxels whose interpolated value rounds safely to one label
    certain = (after["image"] < 0.01) | (after["image"] > 2.99)
    assert torch.equal(after["label"][certain].round(), after["image"][certain].round())


def test_outside_is_each_slices_own_background():
    after = RandAffineBatchd(rotate=0, zoom=(0.5, 0.5))(batch())
    assert torch.allclose(after["image"][:, 0, 0, 0], torch.arange(6) - 50.0)


def blank(width: int, height: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    affines = torch.eye(4, dtype=torch.float64).repeat(500, 1, 1)
    return {"image": torch.zeros(500, 1, width, height), "affine": affines, "image_padding": torch.zeros(500, 1)}


def test_ranges_are_kept():
    many = blank(4, 4)
    affine = RandAffineBatchd(rotate=15, zoom=(0.9, 1.1))(many)["affine"]
    angle = torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))
    magnification = 1 / affine[:, :2, 0].norm(dim=1)
    assert 14 < float(angle.abs().max()) <= 15
    assert 0.9 <= float(magnification.min()) < 0.91 and 1.09 < float(magnification.max()) <= 1.1


def test_the_batch_is_the_same_however_it_is_parted(monkeypatch):
    results = []
    for pixels in (1, 1000, 10**9):
        monkeypatch.setattr(spatial, "_PART", pixels)
        before = batch()
        torch.manual_seed(2)
        results.append(RandAffineBatchd(rotate=40, shift=0.1, flip_prob=0.5)(before))
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]) and torch.equal(value, results[2][name])


def volumes(count: int = 3, size: tuple[int, int, int] = (10, 12, 14)) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64))[0]
    affine = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    affine[:, :3, :3], affine[:, :3, 3] = 1.5 * axes, 50 * torch.randn(count, 3, dtype=torch.float64)
    return {
        "image": torch.randn(count, 2, *size),
        "label": torch.randint(0, 4, (count, 1, *size)).float(),
        "affine": affine,
        "image_padding": torch.tensor([[-5.0, 7.0]]).repeat(count, 1) * torch.arange(1, count + 1)[:, None],
    }


TURNED = {"rotate": (40, 25, 70), "zoom": (0.7, 1.4), "shift": 0.1, "flip_prob": 0.5, "spatial_dims": 3}


def ways(before: dict, after: dict) -> torch.Tensor:
    """Maps from voxels of the result to voxels of the input, computed from the affines, ``(B, 4, 4)``."""
    return torch.linalg.solve(before["affine"], after["affine"])


def test_volumes_against_scipy_through_the_new_affine():
    """Each item and channel is compared. Outside the image, both have the background's value."""
    before = volumes()
    after = RandAffineBatchd(**TURNED)(before)
    size = before["image"].shape[2:]
    grid = np.stack(np.meshgrid(*map(np.arange, size), [1.0], indexing="ij"))[..., 0].reshape(4, -1)
    for row, way in enumerate(ways(before, after).numpy()):
        where = (way @ grid)[:3] + 1
        for channel in range(2):
            fill = float(before["image_padding"][row, channel])
            bordered = np.pad(before["image"][row, channel].double().numpy(), 1, constant_values=fill)
            expected = map_coordinates(bordered, where, order=1, cval=fill).reshape(size)
            assert np.abs(after["image"][row, channel].numpy() - expected).max() < 1e-3
        nearest = map_coordinates(np.pad(before["label"][row, 0].numpy(), 1), where, order=0).reshape(size)
        # halfway between two voxels, either neighbour is correct
        certain = (np.abs(where - np.floor(where) - 0.5) > 1e-4).all(axis=0).reshape(size)
        assert (after["label"][row, 0].numpy() == nearest)[certain].all() and certain.mean() > 0.99
    assert len({tuple(way.flatten().tolist()) for way in ways(before, after)}) == 3, "each image has its own transform"


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


def boxed(count=5, size=(9, 8, 7)):
    torch.manual_seed(0)
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64)).repeat(count, 1, 1)
    image = torch.rand(count, 2, *size)
    return {"image": image, "label": image[:, :1].round(), "affine": affine}


@pytest.mark.parametrize(("size", "box"), [((9, 8, 7), (4, 3, 7)), ((9, 8), (5, 8))])
def test_the_affine_says_where_the_box_lies(size, box):
    before = boxed(size=size)
    after = RandCropBatchd(box)(before)
    assert after["image"].shape == (5, 2, *box) and after["label"].shape == (5, 1, *box)
    corners = set()
    for row in range(5):
        start = (after["affine"][row, :3, 3] / torch.tensor([2.0, 3, 4])).round().long().tolist()
        place = tuple(slice(at, at + side) for at, side in zip(start, box, strict=False))
        assert torch.equal(after["image"][row], before["image"][row][(slice(None), *place)])
        assert torch.equal(after["label"][row], before["label"][row][(slice(None), *place)])
        corners.add(tuple(start))
    assert len(corners) > 1


def cubes(count=6, size=(5, 5, 5)):
    torch.manual_seed(0)
    image = torch.rand(count, 2, *size)
    affine = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    affine[:, :3, 3] = torch.rand(count, 3, dtype=torch.float64)
    return {
        "image": image,
        "label": (image[:, :1] * 4).round(),
        "affine": affine,
        "image_padding": torch.zeros(count, 2),
    }


@pytest.mark.parametrize("size", [(5, 5, 5), (6, 6)])
def test_every_voxel_keeps_its_place_in_space(size):
    before = cubes(size=size)
    torch.manual_seed(1)
    after = RandFlipRotate90Batchd(flip_prob=0.5, rotate90_prob=0.7)(before)
    assert not torch.equal(after["image"], before["image"])
    for row in range(6):
        # positions of the voxels in space, before and after, with their values
        def voxels(data, row=row):
            index = torch.cartesian_prod(*(torch.arange(side) for side in size)).double()
            index = torch.cat([index, torch.zeros(len(index), 3 - len(size)), torch.ones(len(index), 1)], dim=1)
            places = (index @ data["affine"][row].T)[:, :3]
            values = torch.cat([data["image"][row], data["label"][row]]).flatten(1).T
            return {
                tuple(place): tuple(value)
                for place, value in zip(places.mul(1e4).round().tolist(), values.tolist(), strict=True)
            }

        assert voxels(before) == voxels(after)
