from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.metrics.patch_location import patch_location_scores


def test_scores_by_hand():
    """Of five queries four are told; nobody asked for the last six of eight places."""
    found = patch_location_scores(np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1, 1, 1]), 8)
    assert found["accuracy"] == pytest.approx(4 / 5) and found["chance"] == 0.125
    assert (found["queries"], found["places"]) == (5, 8)
    assert found["accuracy_by_place"][:2] == pytest.approx([1, 3 / 4])
    assert all(map(math.isnan, found["accuracy_by_place"][2:]))
    assert found["confusion"][:2] == [[1, 0, 0, 0, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0, 0, 0]]
    assert not np.any(found["confusion"][2:])
