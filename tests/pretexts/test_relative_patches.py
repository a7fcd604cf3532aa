"""Test how relative patches are cut out and numbered."""

from __future__ import annotations

from itertools import product

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from planewise.errors import InputError
from planewise.pretexts import RelativePatchesd
from planewise.pretexts.relative_patches import cell_of_class, patch_sides


def numbered(count: int, *shape: int) -> torch.Tensor:
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
    batch = made(numbered(300, *shape), jitter=jitter)
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
            wanted = numbered(1, *shape)[0]
            for axis in range(dims):
                wanted = wanted.narrow(1 + axis, int(first[axis]), patch[axis])
            assert torch.equal(image[2 * number : 2 * number + 2], wanted), "contiguous, and channels move together"
    assert all(len(found) == (jitter + 1) ** dims for found in starts), "both patches lie anywhere in their cells"
    assert pairs[::2] != pairs[1::2], "the two patches are drawn independently"
    assert set(batch["place"].tolist()) == set(range(len(around)))
    assert torch.equal(batch["original"], numbered(300, *shape))


def test_the_papers_sizes():
    """128 voxels make three cells of 42, of which 3 are jitter; the middle is cell 13 of 27."""
    assert patch_sides((128, 128, 128), 3, 3) == (39, 39, 39)
    assert cell_of_class(torch.arange(26), 27).tolist() == [*range(13), *range(14, 27)]


def test_the_network_needs_room_for_the_smallest_side():
    assert (
        RelativePatchesd(patches_per_side=3, jitter=1).network_side((18, 30)) == min(patch_sides((18, 30), 3, 1)) == 5
    )


def test_places_are_as_likely():
    batch = made(torch.zeros(1, 1, 6, 6, 6).expand(5200, -1, -1, -1, -1), jitter=0)
    counts = batch["place"].bincount(minlength=26)
    # six standard deviations of a binomial of 5200 and 1/26
    assert (counts - 200).abs().max() < 6 * (5200 / 26 * 25 / 26) ** 0.5


def test_where_a_patch_lies_in_its_cell_does_not_tell_its_class():
    batch = made(numbered(3000, 12, 12), jitter=2)
    first = batch["image"][:, [0, 2], 0, 0]
    # cells of four voxels, with three positions for a patch of two
    for offset in torch.cat([first // 12 % 4, first % 4], dim=1).T:
        assert sorted(set(offset.tolist())) == [0, 1, 2]
        assert abs(np.corrcoef(batch["place"], offset)[0, 1]) < 0.1


def test_a_seed_draws_the_same_again_and_processes_share_the_draws(monkeypatch):
    image = torch.randn(1, 1, 24, 24).expand(6, -1, -1, -1)
    alone = made(image)
    assert torch.equal(alone["image"], made(image)["image"])
    assert not torch.equal(alone["image"], made(image, seed=1)["image"])
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        own = made(image[:3])
        assert torch.equal(own["place"], alone["place"][rank::2])
        assert torch.equal(own["image"], alone["image"][rank::2])


def test_what_has_no_patches():
    with pytest.raises(
        InputError, match="--patches_per_side must be odd and at least 3, so that there is a middle patch, got 4"
    ):
        RelativePatchesd(4)
    message = (
        r"an image of 12 x 12 voxels is too small for 3 patches a side with a jitter of 3: the side of a patch would be 1 "
        r"voxels; raise --image_size, or lower --patches_per_side or --patch_jitter"
    )
    with pytest.raises(InputError, match=message):
        RelativePatchesd()({"image": torch.zeros(1, 1, 12, 12)})
