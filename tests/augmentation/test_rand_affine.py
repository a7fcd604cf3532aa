from __future__ import annotations

import numpy as np
import torch
from planewise.augmentation import RandAffineBatchd, rand_affine
from scipy.ndimage import map_coordinates


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


def test_the_seed_decides():
    results = []
    for seed in (3, 3, 4):
        before = batch()
        torch.manual_seed(seed)
        results.append(RandAffineBatchd()(before)["image"])
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_the_batch_is_the_same_however_it_is_parted(monkeypatch):
    results = []
    for pixels in (1, 1000, 10**9):
        monkeypatch.setattr(rand_affine, "_PART", pixels)
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
