"""Test the ten rotations of a volume and the four of a plane, and how they change an affine."""

import numpy as np
import pytest
import torch
from planewise.geometry import (
    PLANE_ROTATIONS,
    VOLUME_ROTATIONS,
    flip_matrix,
    rotate90,
    rotate90_matrix,
    rotation_of_class,
)


@pytest.mark.parametrize("turn", range(VOLUME_ROTATIONS))
def test_volumes_turn_as_numpy_does(turn):
    volumes = torch.rand(2, 3, 4, 5, 6)
    plane, quarters = rotation_of_class(turn, 3)
    expected = np.rot90(volumes.numpy(), quarters, [axis + 2 for axis in plane])
    assert np.array_equal(rotate90(volumes, turn).numpy(), expected)


def test_classes_are_the_identity_and_three_turns_about_each_axis():
    volume = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
    turned = [rotate90(volume, turn) for turn in range(VOLUME_ROTATIONS)]
    assert torch.equal(turned[0], volume)
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 10
    for axis in range(3):
        # a rotation about an axis does not move the line through the middle along that axis
        line = [1, 1, 1]
        line[axis] = slice(None)
        for turn in range(1 + 3 * axis, 4 + 3 * axis):
            assert torch.equal(turned[turn][0, 0][tuple(line)], volume[0, 0][tuple(line)])
        assert torch.equal(rotate90(turned[1 + 3 * axis], 3 + 3 * axis), volume), "90 and 270 degrees undo each other"


@pytest.mark.parametrize(("shape", "turns"), [((4, 5), PLANE_ROTATIONS), ((4, 5, 6), VOLUME_ROTATIONS)])
def test_the_matrix_leads_from_each_voxel_to_where_it_was(shape, turns):
    images = torch.rand(1, 1, *shape)
    for turn in range(turns):
        turned, matrix = rotate90(images, turn)[0, 0], rotate90_matrix(turn, shape)
        for place in np.ndindex(*turned.shape):
            index = torch.tensor([*place, *[0] * (3 - len(place)), 1], dtype=torch.float64)
            source = (matrix @ index)[: len(shape)].long().tolist()
            assert turned[place] == images[0, 0][tuple(source)]


def test_the_matrix_of_a_flip():
    assert torch.equal(
        flip_matrix(1, 5) @ torch.tensor([2.0, 0, 3, 1], dtype=torch.float64), torch.tensor([2.0, 4, 3, 1]).double()
    )
