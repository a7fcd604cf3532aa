from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.transforms import Affine, RandAffined, create_rotate
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


def test_the_centre_stays_and_scale_magnifies():
    after = RandAffineBatchd(rotate=45, zoom=(2, 2))(batch())
    centre = torch.tensor([9.5, 11.5, 0, 1], dtype=torch.float64)
    assert torch.allclose(after["affine"] @ centre, centre.expand(6, 4))
    assert torch.allclose(after["affine"][:, :3, :2].norm(dim=1), torch.full((6, 2), 0.5, dtype=torch.float64))


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


def test_turns_and_shifts_go_both_ways_alike():
    many = blank(11, 21)
    turned = RandAffineBatchd(rotate=15, zoom=(1, 1))(many)["affine"]
    angle = torch.rad2deg(torch.atan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert -15 <= float(angle.min()) < -14 and 14 < float(angle.max()) <= 15
    assert abs(float(angle.mean())) < 1
    moved = RandAffineBatchd(rotate=0, zoom=(1, 1), shift=0.1)(many)["affine"][:, :2, 3]
    for axis, size in enumerate((11, 21)):
        assert -0.1 * size <= float(moved[:, axis].min()) < -0.09 * size
        assert 0.09 * size < float(moved[:, axis].max()) <= 0.1 * size


def test_flips_are_as_frequent_as_said():
    many = blank(4, 4)
    flipped = RandAffineBatchd(rotate=0, zoom=(1, 1), flip_prob=0.25)(many)["affine"][:, 0, 0] < 0
    assert 0.2 < float(flipped.double().mean()) < 0.3


def test_the_seed_decides():
    results = []
    for seed in (3, 3, 4):
        before = batch()
        torch.manual_seed(seed)
        results.append(RandAffineBatchd()(before)["image"])
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_nothing_to_do_changes_nothing():
    before = batch()
    after = RandAffineBatchd(rotate=0, zoom=(1, 1))(before)
    assert torch.allclose(after["image"], before["image"], atol=1e-4)
    assert torch.allclose(after["affine"], before["affine"])


def test_scale_is_checked():
    with pytest.raises(ValueError, match="smallest, largest"):
        RandAffineBatchd(zoom=(1.1, 0.9))


def test_the_batch_is_the_same_however_it_is_parted(monkeypatch):
    results = []
    for pixels in (1, 1000, 10**9):
        monkeypatch.setattr(rand_affine, "_PART", pixels)
        before = batch()
        torch.manual_seed(2)
        results.append(RandAffineBatchd(rotate=40, shift=0.1, flip_prob=0.5)(before))
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]) and torch.equal(value, results[2][name])


def test_two_batches_may_be_kept():
    augment, before = RandAffineBatchd(), batch()
    given = {name: value.clone() for name, value in before.items()}
    first = augment(before)
    kept = {name: value.clone() for name, value in first.items()}
    augment(before)
    for name, value in kept.items():
        assert torch.equal(first[name], value) and torch.equal(before[name], given[name])


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


def test_volumes_against_monais_affine():
    before = volumes()
    before["image_padding"].zero_()
    after = RandAffineBatchd(**TURNED)(before)
    size = torch.tensor(before["image"].shape[2:], dtype=torch.float64)
    from_centre = torch.eye(4, dtype=torch.float64)
    from_centre[:3, 3] = (size - 1) / 2
    for row, way in enumerate(ways(before, after)):
        # MONAI counts from the centre of the volume
        centred = torch.linalg.inv(from_centre) @ way @ from_centre
        moved = Affine(affine=centred.numpy(), padding_mode="zeros", image_only=True)
        expected = moved(before["image"][row], mode="bilinear")
        assert torch.allclose(after["image"][row], torch.as_tensor(expected), atol=1e-4)


def test_volumes_against_monais_random_affine():
    """MONAI runs item by item with our random numbers: bilinear for the image, nearest neighbour for the mask."""
    before = volumes()
    before["image_padding"].zero_()
    torch.manual_seed(7)
    after = RandAffineBatchd(**TURNED)(before)
    torch.manual_seed(7)
    draws = torch.rand(3, 8, dtype=torch.float64).numpy()
    monai = RandAffined(("image", "label"), prob=1, mode=("bilinear", "nearest"), padding_mode="zeros")
    grid = monai.rand_affine.rand_affine_grid
    grid.randomize = lambda data=None: None
    for row, drawn in enumerate(draws):
        angles = (2 * drawn[:3] - 1) * np.radians([40, 25, 70])
        shrunk = float(1 / (0.7 + 0.7 * drawn[3]))
        shift = (2 * drawn[4:7] - 1) * 0.1 * before["image"].shape[2:]
        grid.rotate_params = angles.tolist()
        # MONAI shifts before it turns
        grid.translate_params = (create_rotate(3, angles.tolist())[:3, :3].T @ shift).tolist()
        grid.scale_params = [-shrunk if drawn[7] < 0.5 else shrunk, shrunk, shrunk]
        expected = monai({key: before[key][row] for key in ("image", "label")})
        assert torch.allclose(after["image"][row], expected["image"].as_tensor(), atol=1e-4)
        # halfway between two voxels, either neighbour is correct
        assert (after["label"][row] == expected["label"].as_tensor()).float().mean() > 0.999


def test_volumes_turn_about_three_axes_as_monai_does():
    """The reference uses the same random numbers: it mirrors and scales, then rotates about k, j and i, and then
    shifts.
    """
    count, size = 400, (4, 4, 4)
    before = {"image": torch.zeros(count, 1, *size), "image_padding": torch.zeros(count, 1)}
    before["affine"] = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    torch.manual_seed(7)
    affine = RandAffineBatchd(**TURNED)(before)["affine"]
    torch.manual_seed(7)
    draws = torch.rand(count, 8, dtype=torch.float64)
    angles = (2 * draws[:, :3] - 1) * torch.deg2rad(torch.tensor([40.0, 25.0, 70.0], dtype=torch.float64))
    for row in range(count):
        magnification = 0.7 + 0.7 * float(draws[row, 3])
        mirror = np.diag([-1.0 if draws[row, 7] < 0.5 else 1.0, 1, 1])
        linear = create_rotate(3, angles[row].tolist())[:3, :3] @ mirror / magnification
        assert np.allclose(affine[row, :3, :3].numpy(), linear)
        shift = (2 * draws[row, 4:7].numpy() - 1) * 0.1 * 4
        assert np.allclose(affine[row, :3].numpy() @ [1.5, 1.5, 1.5, 1], 1.5 + shift)
    # every range is used in full and never exceeded
    largest = torch.rad2deg(angles.abs().amax(dim=0))
    assert (largest <= torch.tensor([40, 25, 70])).all() and (largest > torch.tensor([38, 23, 67])).all()


def test_one_axis_may_stand_still():
    before = volumes()
    before["affine"] = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    affine = RandAffineBatchd(rotate=(0, 0, 30), zoom=(1, 1), spatial_dims=3)(before)["affine"]
    assert torch.allclose(affine[:, 2, :], torch.tensor([0, 0, 1.0, 0], dtype=torch.float64).expand(3, 4))
    every = RandAffineBatchd(rotate=30, spatial_dims=3)
    assert every.rotate == (math.radians(30),) * 3


def test_volumes_are_flipped_along_the_first_axis():
    before = volumes()
    after = RandAffineBatchd(rotate=0, zoom=(1, 1), flip_prob=1, spatial_dims=3)(before)
    assert torch.allclose(after["image"], before["image"].flip(2), atol=1e-4)
    assert torch.equal(after["label"], before["label"].flip(2))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (2, 1, 8, 8, 8), r"must contain images \(B, C, i, j\) with spatial_dims 2, got shape \(2, 1, 8, 8, 8\)"),
        ({"spatial_dims": 3}, (2, 1, 8, 8), r"must contain volumes .* with spatial_dims 3, got shape \(2, 1, 8, 8\)"),
        ({"spatial_dims": 3}, (2, 1, 8, 8, 1), r"\(8, 8, 1\) are flat; use spatial_dims 2"),
    ],
)
def test_images_are_not_taken_for_volumes_nor_volumes_for_images(options, shape, message):
    with pytest.raises(ValueError, match=message):
        RandAffineBatchd(**options)({"image": torch.zeros(shape), "image_padding": torch.zeros(shape[:2])})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate": (10, 20)}, "each of 1 axes"),
        ({"rotate": (10, 20), "spatial_dims": 3}, "each of 3 axes"),
        ({"spatial_dims": 1}, "2 .images. or 3"),
    ],
)
def test_angles_fit_the_dimensions(options, message):
    with pytest.raises(ValueError, match=message):
        RandAffineBatchd(**options)
