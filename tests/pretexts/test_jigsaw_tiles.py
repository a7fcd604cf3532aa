"""Test how the tiles of puzzles are cut out, and that they can be reassembled."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planewise.pretexts import JigsawTilesd
from planewise.pretexts.jigsaw_tiles import standardized, tile_sides


def numbered(count: int, *shape: int) -> torch.Tensor:
    """Images whose pixels encode their positions: each has its own number, larger in later images."""
    pixels = torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)
    return torch.stack([pixels + 10 * number for number in range(count)])[:, None]


def puzzles(monkeypatch, image: torch.Tensor, **options) -> dict:
    """A batch of puzzles whose tiles keep their original values."""
    monkeypatch.setattr("planewise.pretexts.jigsaw_tiles.standardized", lambda tiles, spatial_dims: tiles)
    torch.manual_seed(1)
    return JigsawTilesd(**options)({"image": image})


@pytest.mark.parametrize(("shape", "dims", "pieces"), [((31, 41), 2, 9), ((15, 16, 19), 3, 27)])
def test_a_permutation_undone_gives_the_tiles_in_the_cells_that_they_come_from(shape, dims, pieces, monkeypatch):
    """Pixel by pixel: tile ``v`` of the puzzle put together is a contiguous piece of cell ``v``."""
    transform = JigsawTilesd(num_permutations=20, gap=0.3, spatial_dims=dims)
    batch = puzzles(monkeypatch, numbered(4, *shape), num_permutations=20, gap=0.3, spatial_dims=dims)
    tile = tile_sides(shape, 3, 0.3)
    assert batch["image"].shape == (4, pieces, *tile) and batch["permutation"].shape == (4,)
    assert len(set(batch["permutation"].tolist())) > 1
    cells = [side // 3 for side in shape]
    starts = set()
    for number in range(4):
        order = transform.permutations[batch["permutation"][number]].argsort()
        ordered = batch["image"][number][order]
        for place, cell in enumerate(product(range(3), repeat=dims)):
            first = np.unravel_index(int(ordered[place].flatten()[0]) - 10 * number, shape)
            wanted = numbered(4, *shape)[number, 0]
            for axis in range(dims):
                wanted = wanted.narrow(axis, int(first[axis]), tile[axis])
                margin = (shape[axis] - 3 * cells[axis]) // 2
                start = int(first[axis]) - margin - cell[axis] * cells[axis]
                assert 0 <= start <= cells[axis] - tile[axis], "the tile keeps to its cell, so that no two touch"
                starts.add(start)
            assert torch.equal(ordered[place], wanted)
    assert len(starts) > 2, "a tile's place in its cell is random"


@given(st.integers(20, 200), st.integers(2, 5), st.floats(0, 0.6))
@settings(max_examples=30)
def test_tiles_leave_the_gap_that_is_asked_for(size, per_side, gap):
    (tile,) = tile_sides((size,), per_side, gap)
    assert abs((size // per_side - tile) - gap * (size // per_side)) <= 0.5


def test_each_tile_is_standardised_by_itself():
    tiles = torch.randn(2, 9, 1, 8, 8, dtype=torch.float64) * torch.rand(2, 9, 1, 1, 1) * 50 + 7
    tiles[0, 3] = 2.5
    found = standardized(tiles, 2)
    for number, place in product(range(2), range(9)):
        tile = tiles[number, place, 0].numpy()
        expected = (tile - tile.mean()) / (tile.std() or 1)
        assert np.allclose(found[number, place, 0].numpy(), expected)
    assert not found[0, 3].any(), "a tile with a single grey value becomes 0, not NaN"


def test_tiles_can_be_resampled_for_networks_that_need_them_larger():
    image = torch.linspace(0, 1, 30)[:, None].expand(30, 30)[None, None]
    batch = JigsawTilesd(tile_size=64)({"image": image})
    assert batch["image"].shape == (1, 9, 64, 64)
    rows = batch["image"][0].mean(dim=2)
    assert (rows.diff(dim=1) >= -1e-6).all() and torch.allclose(rows[:, 0], rows[:, 0].mean(), atol=1e-3), (
        "a ramp stays a ramp"
    )
    # one side of these tiles has the right length already
    oblong = JigsawTilesd(gap=0, tile_size=10)({"image": torch.rand(1, 1, 30, 45)})
    assert oblong["image"].shape == (1, 9, 10, 10)
