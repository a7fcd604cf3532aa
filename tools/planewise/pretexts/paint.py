"""Windows of images, or everything outside them, painted over as in Models Genesis."""

from __future__ import annotations

import torch
from torch import Tensor


def in_windows(image: Tensor, corners: Tensor, sizes: Tensor) -> Tensor:
    """Pixels that lie in any of an image's windows, ``(B, 1, i, j)``, bool.

    In-painting replaces them by noise, out-painting replaces all others (Zhou 2019, section 2).

    Args:
        image: ``(B, C, i, j)``.
        corners: ``(B, N, 2)``, int64, first row and column of each window.
        sizes: ``(B, N, 2)``, int64, its rows and columns; 0 for a missing window.
    """
    inside = []
    for axis in (0, 1):
        place = torch.arange(image.shape[2 + axis], device=image.device)
        first, size = corners[..., axis, None], sizes[..., axis, None]
        inside.append((place >= first) & (place < first + size))
    rows, columns = inside
    return (rows[..., :, None] & columns[..., None, :]).any(dim=1, keepdim=True)
