from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.metrics.confusion import confusion_matrix


def test_counts_by_hand():
    confusion, shares = confusion_matrix(np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2]), 4)
    assert confusion.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert shares[:3] == pytest.approx([1, 1, 2 / 3]) and math.isnan(shares[3])
