from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from planewise.pretexts.grid_patches import cell_sides, cut_patches, patch_corners


@pytest.mark.parametrize("shape", [(12, 15), (6, 9, 12)])
def test_a_grid_of_patches_put_back_gives_the_image(shape):
    """Patches as large as their cells cover the image without overlap."""
    image = torch.rand(2, 3, *shape)
    dims, patch = len(shape), cell_sides(shape, 3)
    places = torch.arange(3**dims)
    corners = patch_corners(shape, 3, patch, places, torch.rand(2, 3**dims, dims))
    patches = cut_patches(image, corners, patch)
    back = torch.full_like(image, torch.nan)
    for number, place in product(range(2), places.tolist()):
        where = tuple(
            slice(int(first), int(first) + side) for first, side in zip(corners[number, place], patch, strict=True)
        )
        assert back[(number, slice(None), *where)].isnan().all(), "no voxel twice"
        back[(number, slice(None), *where)] = patches[number, place]
    assert torch.equal(back, image)
    # cell by cell, the last axis first
    for place, cell in enumerate(product(range(3), repeat=dims)):
        assert corners[0, place].tolist() == [row * side for row, side in zip(cell, patch, strict=True)]


def test_patches_stay_in_their_cells_at_every_place():
    """13 pixels make 3 cells of 4, with one pixel left over at the end; patches of 2 have three positions along each axis."""
    places = torch.tensor([4, 0, 8]).expand(300, 3)
    torch.manual_seed(0)
    corners = patch_corners((13, 13), 3, (2, 2), places, torch.rand(300, 3, 2))
    for number, first in enumerate((4, 0, 8)):
        assert set(map(tuple, corners[:, number].tolist())) == set(product(range(first, first + 3), repeat=2))
    edges = patch_corners((14,), 3, (2,), torch.tensor([0, 2]), torch.tensor([[0.0], [0.99]]))
    assert edges.tolist() == [[1], [11]], "both edges share the pixels that are left over"


def test_patches_are_what_a_loop_cuts():
    """The patches may be anywhere and may overlap."""
    generator = np.random.default_rng(0)
    image, corners = torch.rand(2, 2, 7, 8, 9), generator.integers(0, (5, 4, 3), (2, 6, 3))
    found = cut_patches(image, torch.from_numpy(corners), (3, 5, 7))
    assert found.shape == (2, 6, 2, 3, 5, 7)
    for number, patch in product(range(2), range(6)):
        i, j, k = corners[number, patch]
        assert torch.equal(found[number, patch], image[number, :, i : i + 3, j : j + 5, k : k + 7])
