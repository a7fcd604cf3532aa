"""Test windows of images against slices of an array."""

from __future__ import annotations

import torch
from planewise.pretexts.paint import in_windows


def test_pixels_of_any_window():
    torch.manual_seed(0)
    image = torch.zeros(4, 2, 12, 9)
    corners, sizes = torch.randint(0, 8, (4, 3, 2)), torch.randint(0, 6, (4, 3, 2))
    expected = torch.zeros(4, 1, 12, 9, dtype=torch.bool)
    for number in range(4):
        for (row, column), (height, width) in zip(corners[number].tolist(), sizes[number].tolist(), strict=True):
            expected[number, :, row : row + height, column : column + width] = True
    assert torch.equal(in_windows(image, corners, sizes), expected)
    assert expected.any() and not expected.all()
