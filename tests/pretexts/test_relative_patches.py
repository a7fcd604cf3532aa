"""Test how relative patches are cut out and numbered."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from planewise.pretexts import RelativePatchesd


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
