"""Test what is spoilt for a network to restore."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planewise.pretexts import CorruptImagesd, MaskPatchesd, restoration
from planewise.pretexts.restoration import in_windows, local_shuffle, nonlinear_intensity

NONE = {"flip_prob": 0.0, "shuffle_prob": 0.0, "nonlinear_prob": 0.0, "paint_prob": 0.0}


def images(count=400, side=28):
    torch.manual_seed(1)
    return torch.randn(count, 1, side, side)


def spoilt(image, **settings):
    torch.manual_seed(0)
    return CorruptImagesd(**{**NONE, **settings})({"image": image.clone(), "index": torch.arange(len(image))})


def share(changed):
    return changed.float().mean().item()


def flips_of(image, target):
    """The axes along which each target is flipped; None if no flip gives the target."""
    axes = [(), (2,), (3,), (2, 3)]
    same = torch.stack([(image.flip(each) == target).flatten(1).all(1) for each in axes], dim=1)
    assert same.any(dim=1).all(), "no flip of the image gives the target"
    return same.int().argmax(dim=1)


def test_nothing_but_flips_reaches_the_target():
    image = images()
    batch = spoilt(image, flip_prob=0.4, shuffle_prob=0.5, nonlinear_prob=0.9, paint_prob=0.9)
    flips = torch.bincount(flips_of(image, batch["restored"]), minlength=4) / len(image)
    # four of ten are flipped, along one axis, the other, or both
    torch.testing.assert_close(flips, torch.tensor([0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3]), atol=0.06, rtol=0)
    assert (batch["image"] != batch["restored"]).flatten(1).any(1).float().mean() > 0.95


@pytest.mark.parametrize(("name", "probability"), [("shuffle_prob", 0.5), ("nonlinear_prob", 0.9), ("paint_prob", 0.9)])
def test_each_change_has_its_probability(name, probability):
    image = images()
    changed = ((spoilt(image, **{name: probability})["image"] - image).abs() > 1e-4).flatten(1).any(1)
    # in one of four cases the window is a single pixel, and nothing changes
    expected = probability * 0.75 if name == "shuffle_prob" else probability
    assert share(changed) == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize(("in_paint", "smallest", "largest"), [(1.0, [4, 10], [8, 20]), (0.0, [11, 26], [14, 35])])
def test_windows_have_the_sides_of_the_authors_code(in_paint, smallest, largest, monkeypatch):
    """Painted windows have a sixth to a third of each side, 24 and 60 pixels; those that are kept lack 3/7 to 4/7."""
    drawn = []
    windows = restoration.in_windows
    monkeypatch.setattr(restoration, "in_windows", lambda *given: drawn.append(given[2]) or windows(*given))
    spoilt(torch.randn(300, 1, 24, 60), paint_prob=1.0, inpaint_prob=in_paint)
    sizes = drawn[0].flatten(0, 1)
    sizes = sizes[sizes.any(dim=1)]
    assert sizes.amin(dim=0).tolist() == smallest and sizes.amax(dim=0).tolist() == largest


@pytest.mark.parametrize(("in_paint", "least", "most"), [(1.0, 0.02, 0.45), (0.0, 0.1, 0.85)])
def test_windows_are_painted_or_all_but_windows(in_paint, least, most):
    image = images(side=42)
    painted = ((spoilt(image, paint_prob=1.0, inpaint_prob=in_paint)["image"] - image).abs() > 1e-4).squeeze(1)
    some = painted.flatten(1).any(1) & ~painted.flatten(1).all(1)
    # in one of twenty cases there is no window to paint, so nothing is painted; there is always a window to keep
    assert share(some) == (pytest.approx(0.95, abs=0.04) if in_paint else 1.0)
    shares = painted[some].float().mean(dim=(1, 2))
    assert least < shares.mean() < most
    # painted windows are a third of the side at most, and five of them at most; kept ones 3/7 at least
    assert shares.max() <= (5 / 9 if in_paint else 1 - (3 / 7) ** 2) + 0.02


def shuffled_one_by_one(image, window, offset, keys):
    shuffled = image.clone()
    _, channels, rows, columns = image.shape
    for number, ((height, width), (up, left)) in enumerate(zip(window.tolist(), offset.tolist(), strict=True)):
        key = keys[number].reshape(rows, columns)
        for top in range(-up, rows, height):
            for side in range(-left, columns, width):
                part = (slice(max(top, 0), top + height), slice(max(side, 0), side + width))
                order = key[part].flatten().argsort()
                if len(order):
                    pixels = image[number][(slice(None), *part)]
                    mixed = pixels.flatten(1)[:, order].reshape(pixels.shape)
                    shuffled[number][(slice(None), *part)] = mixed
    return shuffled


def test_the_pixels_of_each_window_are_put_in_the_order_of_their_keys():
    torch.manual_seed(0)
    image, keys = torch.rand(5, 2, 13, 10), torch.rand(5, 130)
    window = torch.tensor([[1, 1], [3, 2], [4, 4], [2, 5], [13, 10]])
    offset = torch.tensor([[0, 0], [2, 1], [0, 3], [1, 4], [0, 0]])
    shuffled = local_shuffle(image, window, offset, keys)
    assert torch.equal(shuffled, shuffled_one_by_one(image, window, offset, keys))
    assert torch.equal(shuffled[0], image[0]), "windows of one pixel"
    assert not torch.equal(shuffled[4], image[4])


def mapped_one_by_one(image, control, inverted):
    mapped = []
    for values, ((ax, ay), (bx, by)), falls in zip(image, control, inverted, strict=True):
        xs, ys = [], []
        for t in np.linspace(0, 1, 1000):
            xs.append(3 * (1 - t) ** 2 * t * ax + 3 * (1 - t) * t**2 * bx + t**3)
            ys.append(3 * (1 - t) ** 2 * t * ay + 3 * (1 - t) * t**2 * by + t**3)
        curve = np.interp(values, xs, ys)
        mapped.append(1 - curve if falls else curve)
    return np.stack(mapped)


def test_each_image_goes_through_its_own_curve():
    torch.manual_seed(0)
    image, control = torch.rand(6, 1, 9, 7, dtype=torch.float64), torch.rand(6, 2, 2, dtype=torch.float64)
    inverted = torch.tensor([True, False] * 3)
    expected = mapped_one_by_one(image.numpy(), control.tolist(), inverted.tolist())
    np.testing.assert_allclose(nonlinear_intensity(image, control, inverted).numpy(), expected, atol=1e-9)


def test_pixels_of_any_window():
    torch.manual_seed(0)
    image = torch.zeros(4, 2, 12, 9)
    corners, sizes = torch.randint(0, 8, (4, 3, 2)), torch.randint(0, 6, (4, 3, 2))
    expected = torch.zeros(4, 1, 12, 9, dtype=torch.bool)
    for number in range(4):
        for (row, column), (height, width) in zip(corners[number].tolist(), sizes[number].tolist(), strict=True):
            expected[number, :, row : row + height, column : column + width] = True
    assert torch.equal(in_windows(image, corners, sizes), expected)
    assert expected.any() and not expected.all()


def masked(image: torch.Tensor, seed: int = 3, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return MaskPatchesd(**options)({"image": image})


def patches(image: torch.Tensor, size: int) -> dict[tuple[int, ...], torch.Tensor]:
    """Maps each place in the grid to the patches ``(B, C, size, ...)`` there."""
    grid = [range(side // size) for side in image.shape[2:]]
    cut = {}
    for place in product(*grid):
        piece = image
        for axis, number in enumerate(place):
            piece = piece.narrow(2 + axis, number * size, size)
        cut[place] = piece
    return cut


@pytest.mark.parametrize("shape", [(12, 20), (8, 4, 12)])
def test_whole_patches_are_hidden_as_many_in_every_image_and_the_rest_stays(shape):
    image = torch.randn(6, 2, *shape)
    batch = masked(image, patch_size=4, mask_ratio=0.6)
    count = int(np.prod(shape)) // 4 ** len(shape)
    assert batch["hidden"].shape == (6, 1, *shape) and batch["hidden"].dtype == torch.bool
    seen = [tuple(row.flatten().tolist()) for row in batch["hidden"]]
    assert len(set(seen)) > 3, "each image has other hidden patches"
    number_hidden = torch.zeros(6, dtype=torch.int64)
    for place, piece in patches(batch["hidden"].expand(-1, 2, *shape), 4).items():
        for row in range(6):
            hidden = bool(piece[row].flatten()[0])
            assert (piece[row] == hidden).all(), "a patch is hidden completely or not at all"
            number_hidden[row] += hidden
            there = patches(batch["image"], 4)[place][row]
            wanted = torch.zeros_like(there) if hidden else patches(image, 4)[place][row]
            assert torch.equal(there, wanted)
    assert number_hidden.tolist() == [round(0.6 * count)] * 6
    assert torch.equal(batch["restored"], image)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_nothing_that_is_hidden_reaches_the_network(seed):
    image = torch.randn(3, 1, 16, 16)
    first = masked(image, seed, patch_size=4)
    changed = torch.where(first["hidden"], torch.randn_like(image) * 1e6, image)
    second = masked(changed, seed, patch_size=4)
    assert torch.equal(first["hidden"], second["hidden"])
    assert torch.equal(first["image"], second["image"])
    assert not torch.equal(first["restored"], second["restored"])
