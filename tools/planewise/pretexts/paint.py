"""Find the pixels inside windows of images, which Models Genesis paints over or keeps."""

from __future__ import annotations

import torch
from torch import Tensor


def in_windows(image: Tensor, corners: Tensor, sizes: Tensor) -> Tensor:
    """Whether each pixel is inside any window of its image, ``(B, 1, i, j)``, bool.

    In-painting replaces these pixels with noise, out-painting replaces all other pixels (Zhou 2019, section 2).

    Args:
        image: ``(B, C, i, j)``.
        corners: first row and column of each window, ``(B, N, 2)``, int64.
        sizes: number of rows and columns of each window, ``(B, N, 2)``, int64; 0 for a missing window.
    """
    inside = []
    for axis in (0, 1):
        place = torch.arange(image.shape[2 + axis], device=image.device)
        first, size = corners[..., axis, None], sizes[..., axis, None]
        inside.append((place >= first) & (place < first + size))
    rows, columns = inside
    return (rows[..., :, None] & columns[..., None, :]).any(dim=1, keepdim=True)
