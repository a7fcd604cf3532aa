from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
import torch
from planewise.geometry import predicted_patches
from planewise.pretexts import OverlappingPatchesd


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
