"""Exchange pixels with their neighbours, as in Models Genesis."""

from __future__ import annotations

import torch
from torch import Tensor


def local_shuffle(image: Tensor, window: Tensor, offset: Tensor, keys: Tensor) -> Tensor:
    """Shuffle the pixels within each small window of an image (Zhou 2019, section 2, "Local-shuffling").

    The windows of an image all have the same size and tile it without gaps, so every pixel may move, but only within its
    window. The global structure stays and the texture is lost.

    Args:
        image: ``(B, C, i, j)``; the channels move together.
        window: rows and columns of an image's windows, ``(B, 2)``, int64, at least 1. Windows of one pixel change nothing.
        offset: shift of the tiling up and to the left, ``(B, 2)``, int64, from 0 to less than the window.
        keys: random numbers in [0, 1), one for each pixel, ``(B, i * j)``; their order within a window becomes the order
            of its pixels.

    Returns:
        The image with its pixels in their new places.
    """
    count, _, rows, columns = image.shape
    row = torch.arange(rows, device=image.device)
    column = torch.arange(columns, device=image.device)
    across = (row + offset[:, :1]) // window[:, :1]
    along = (column + offset[:, 1:]) // window[:, 1:]
    cell = (across[:, :, None] * (columns + 1) + along[:, None, :]).flatten(1)
    # the n-th position of a window gets the pixel with the n-th key
    places = cell.argsort(dim=1, stable=True)
    pixels = (cell + keys.double()).argsort(dim=1)
    source = torch.empty_like(places).scatter_(1, places, pixels)
    flat = image.flatten(2)
    return flat.gather(2, source[:, None].expand_as(flat)).reshape(image.shape)
