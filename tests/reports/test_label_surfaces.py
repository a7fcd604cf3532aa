"""Test the position of a structure's surface between slices."""

import numpy as np
from planewise.own_exams.view_pictures import label_distances
from skimage.measure import marching_cubes


def discs(radii, size=41):
    i, j = np.indices((size, size)) - size // 2
    return np.stack([np.hypot(i, j) <= radius for radius in radii], axis=-1)


def test_the_edge_lies_between_the_pixels():
    mask = np.zeros((9, 9, 1), dtype=bool)
    mask[3:6, 3:6] = True
    distances = label_distances(mask)[..., 1]
    assert distances.shape == (11, 11)
    assert distances[4, 5] == 0.5 and distances[3, 5] == -0.5 and distances[5, 5] == 1.5
    assert ((distances > 0) == np.pad(mask[..., 0], 1)).all()


def test_between_two_slices_a_cone_has_no_steps():
    """Discs with radii of 16 and 8 pixels: halfway, the radius is 12, where nearest-neighbour labels would jump from one to
    the other.
    """
    distances = label_distances(discs([16, 8]))
    halfway = (distances[..., 1] + distances[..., 2]) / 2
    radius = np.sqrt((halfway > 0).sum() / np.pi)
    assert abs(radius - 12) < 0.5


def test_the_surface_closes_half_a_slice_beyond_the_ends():
    vertices, *_ = marching_cubes(label_distances(discs([10, 10, 10])), 0.0)
    slices = vertices[:, 2] - 1
    assert abs(slices.min() + 0.5) < 0.1 and abs(slices.max() - 2.5) < 0.1


def test_a_slice_without_it_parts_a_structure():
    distances = label_distances(discs([8, 0, 0, 8])[:, :, [0, 1, 3]] & np.array([True, False, True]))
    assert (distances[..., 2] < 0.1).all() and (distances[..., 1] > 0).any() and (distances[..., 3] > 0).any()
