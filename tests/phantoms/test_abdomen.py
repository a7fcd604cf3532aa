"""Test abdomens: a pancreas among organs of similar brightness, with a darker tumour in it."""

import numpy as np
import pytest
from planewise.workshop.phantoms.abdomen import ABDOMENS, PANCREAS, TUMOUR, Abdomen

PLAIN = ABDOMENS.with_values(side=48, noise=(0.0, 0.0), difference=(40.0, 40.0))


@pytest.fixture(scope="module")
def scans():
    return [Abdomen.sample((0, 6, number), PLAIN).scan() for number in (1, 2, 3)]


def test_units_are_hounsfield_and_the_mask_lies_inside(scans):
    for image, mask in scans:
        assert image.dtype == np.int16 and image.min() >= -1024 and np.median(image[0]) < -900
        assert set(np.unique(mask)) == {0, PANCREAS, TUMOUR}
        # voxels at the edge of the pancreas contain some fat
        assert 60 < np.percentile(image[mask == PANCREAS], 75) < 130
        assert 0.001 < (mask > 0).mean() < 0.05


def test_a_tumour_is_darker_than_the_pancreas(scans):
    for image, mask in scans:
        darker = np.percentile(image[mask == PANCREAS], 75) - np.percentile(image[mask == TUMOUR], 75)
        assert 20 < darker < 60
