"""Test pieces that are cut from a grid, and that puzzles can be reassembled."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planewise.geometry import predicted_patches
from planewise.pretexts import JigsawTilesd, OverlappingPatchesd, RelativePatchesd, choose_permutations
from planewise.pretexts.pieces import cell_sides, cut_patches, patch_corners, standardized, tile_sides


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


def numbered(count: int, *shape: int) -> torch.Tensor:
    """Images whose pixels encode their positions: each has its own number, larger in later images."""
    pixels = torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)
    return torch.stack([pixels + 10 * number for number in range(count)])[:, None]


def puzzles(monkeypatch, image: torch.Tensor, **options) -> dict:
    """A batch of puzzles whose tiles keep their original values."""
    monkeypatch.setattr("planewise.pretexts.pieces.standardized", lambda tiles, spatial_dims: tiles)
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


def of_two_channels(count: int, *shape: int) -> torch.Tensor:
    """Images of two channels whose voxels encode their positions; the second channel has the opposite sign."""
    voxels = torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)
    return torch.stack([voxels, -voxels]).expand(count, 2, *shape)


def made(image: torch.Tensor, seed: int = 0, **options) -> dict:
    torch.manual_seed(seed)
    return RelativePatchesd(**options)({"image": image})


@pytest.mark.parametrize(("shape", "jitter"), [((19, 24), 2), ((15, 16, 20), 1)])
def test_the_class_says_where_the_query_lies(shape, jitter):
    """The classes are compared with a loop over the cells around the middle one, in the paper's order."""
    dims = len(shape)
    around = [cell for cell in product(range(3), repeat=dims) if cell != (1,) * dims]
    assert len(around) == (8 if dims == 2 else 26)
    batch = made(of_two_channels(300, *shape), jitter=jitter)
    patch = [side // 3 - jitter for side in shape]
    assert batch["image"].shape == (300, 4, *patch)
    starts, pairs = [set(), set()], []
    for image, place in zip(batch["image"], batch["place"].tolist(), strict=True):
        for number, cell in enumerate(((1,) * dims, around[place])):
            first = np.unravel_index(int(image[2 * number].flatten()[0]), shape)
            offset = tuple(
                int(at) - (side - 3 * (side // 3)) // 2 - row * (side // 3)
                for at, side, row in zip(first, shape, cell, strict=True)
            )
            assert all(0 <= step <= jitter for step in offset)
            starts[number].add(offset)
            pairs.append(offset)
            wanted = of_two_channels(1, *shape)[0]
            for axis in range(dims):
                wanted = wanted.narrow(1 + axis, int(first[axis]), patch[axis])
            assert torch.equal(image[2 * number : 2 * number + 2], wanted), "contiguous, and channels move together"
    assert all(len(found) == (jitter + 1) ** dims for found in starts), "both patches lie anywhere in their cells"
    assert pairs[::2] != pairs[1::2], "the two patches are drawn independently"
    assert set(batch["place"].tolist()) == set(range(len(around)))


@pytest.mark.parametrize("axes", [2, 3])
def test_patches_overlap_by_half_and_cover_the_image(axes):
    image = torch.randn(2, 2, *[20] * axes)
    torch.manual_seed(0)
    batch = OverlappingPatchesd(4, 0.5, 2, 3, axes)({"image": image})
    # patches have 20 / 2.5 = 8 pixels, and the next patch begins 4 pixels further on
    patches = batch["image"].unflatten(1, (4**axes, 2))
    assert patches.shape == (2, 4**axes, 2, *[8] * axes)
    for number, place in enumerate(product((0, 4, 8, 12), repeat=axes)):
        where = (slice(None), slice(None), *(slice(start, start + 8) for start in place))
        assert torch.equal(patches[:, number], image[where])


def test_candidates_are_the_right_patch_and_others_of_the_same_image():
    torch.manual_seed(0)
    candidates = OverlappingPatchesd(3, 0.5, 2, 5, 2)({"image": torch.rand(400, 1, 12, 12)})["candidates"]
    right = predicted_patches(3, 2, 2).patch
    assert candidates.shape == (400, 9, 6) and torch.equal(candidates[..., 0], right.expand(400, -1))
    assert all(len(set(row.tolist())) == 6 for row in candidates.flatten(0, 1)), "no patch twice"
    # number the patches without the correct one: the predictions of an image have different negatives
    negatives = candidates[..., 1:] - (candidates[..., 1:] > right[:, None]).long()
    assert (negatives[:, :1] != negatives[:, 1:]).any(dim=2).double().mean() > 0.99
    # the first prediction's negatives: each of the other eight patches is drawn equally often
    drawn = Counter(candidates[:, 0, 1:].flatten().tolist())
    assert set(drawn) == set(range(9)) - {int(right[0])}
    assert all(count == pytest.approx(400 * 5 / 8, rel=0.2) for count in drawn.values())


def total_distance(one, others) -> int:
    """The sum of the Hamming distances to all others, written out."""
    return sum(sum(a != b for a, b in zip(one, other, strict=True)) for other in others)


@pytest.mark.parametrize(("pieces", "count"), [(3, 6), (4, 24), (5, 60)])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_is_as_far_from_those_before_as_any_that_is_left(pieces, count, seed):
    """Algorithm 1 of the paper, over the list of all permutations."""
    chosen = [tuple(row) for row in choose_permutations(pieces, count, seed).tolist()]
    for number in range(1, count):
        before = chosen[:number]
        left = [one for one in permutations(range(pieces)) if one not in before]
        assert chosen[number] in left
        assert total_distance(chosen[number], before) == max(total_distance(one, before) for one in left)


def test_fewer_are_the_first_of_more():
    assert (choose_permutations(9, 10) == choose_permutations(9, 40)[:10]).all()
