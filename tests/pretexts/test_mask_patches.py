"""Test which patches are hidden, that their content is removed, and what the network must restore."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planewise.pretexts import MaskPatchesd
from planewise.pretexts.mask_patches import hidden_patches, standardized_patches


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


@given(st.integers(2, 300), st.floats(0.01, 0.99))
@example(3, 0.99)
@example(3, 0.01)
def test_the_share_is_the_nearest_that_leaves_something_to_see_and_to_guess(count, ratio):
    hidden = hidden_patches(count, ratio)
    assert 1 <= hidden <= count - 1
    assert abs(hidden - ratio * count) <= 0.5 or hidden in (1, count - 1)


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 3)])
def test_a_normalised_target_is_each_patch_by_its_own_mean_and_deviation(shape):
    image = torch.randn(2, 2, *shape, dtype=torch.float64) * 5 + 30
    image[0, :, :3] = 7.0
    found = standardized_patches(image, 3)
    for place, piece in patches(image, 3).items():
        for row, channel in product(range(2), range(2)):
            values = piece[row, channel].numpy()
            wanted = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)
            assert np.allclose(patches(found, 3)[place][row, channel].numpy(), wanted)
    assert not found[0, :, :3].any(), "a patch of one value stays finite"
    assert torch.equal(masked(image, patch_size=3, normalize_patches=True)["restored"], found)
