from __future__ import annotations

import numpy as np
import torch
from planewise.pretexts import RotationTargetsd

#: For each class of a volume, as in Taleb 2020: the plane of rotation, as in numpy, and the number of quarter turns.
TURNS = [((1, 2), 0)] + [(plane, quarters) for plane in ((1, 2), (0, 2), (0, 1)) for quarters in (1, 2, 3)]


def made(spatial_dims: int, count: int = 64, channels: int = 2) -> dict:
    torch.manual_seed(4)
    image = torch.rand(count, channels, *[4] * spatial_dims)
    return RotationTargetsd()({"image": image, "index": torch.arange(count)}) | {"original": image}


def test_a_volume_is_turned_as_numpy_turns_it():
    batch = made(3)
    assert set(batch["rotation"].tolist()) == set(range(10)), "all classes are drawn"
    for image, original, turn in zip(batch["image"], batch["original"], batch["rotation"].tolist(), strict=True):
        plane, quarters = TURNS[turn]
        for channel, before in zip(image.numpy(), original.numpy(), strict=True):
            assert np.array_equal(channel, np.rot90(before, quarters, plane))


def test_a_plane_has_four_turns():
    batch = made(2)
    assert set(batch["rotation"].tolist()) == {0, 1, 2, 3}
    for image, original, turn in zip(batch["image"], batch["original"], batch["rotation"].tolist(), strict=True):
        assert np.array_equal(image[0].numpy(), np.rot90(original[0].numpy(), turn))


def test_all_classes_are_as_likely_and_the_seed_decides():
    batch = made(3, 4000, 1)
    counts = batch["rotation"].bincount(minlength=10)
    # six standard deviations of a binomial of 4000 and a tenth
    assert (counts - 400).abs().max() < 6 * (4000 * 0.1 * 0.9) ** 0.5
    assert torch.equal(batch["rotation"], made(3, 4000, 1)["rotation"])
