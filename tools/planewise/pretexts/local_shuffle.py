"""Exchange pixels with their neighbours, as in Models Genesis."""

from __future__ import annotations

import torch
from torch import Tensor


def local_shuffle(image: Tensor, window: Tensor, offset: Tensor, keys: Tensor) -> Tensor:
    """Shuffle the pixels within each small window of an image (Zhou 2019, section 2, "Local-shuffling").

    The windows of an image all have the same size and cover it without gaps, so every pixel may move, but only within its
    window. The texture is lost, but the global structure remains.

    Args:
        image: ``(B, C, i, j)``; the channels move together.
        window: numbers of rows and columns of the windows of each image, ``(B, 2)``, int64, at least 1. Windows of one
            pixel change nothing.
        offset: displacement of the windows up and to the left, ``(B, 2)``, int64, at least 0 and less than the window.
        keys: random numbers in [0, 1), one for each pixel, ``(B, i * j)``. Within a window, the pixels are put in the
            order of their numbers.

    Returns:
        The shuffled image, ``(B, C, i, j)``.
    """
    count, _, rows, columns = image.shape
    row = torch.arange(rows, device=image.device)
    column = torch.arange(columns, device=image.device)
    across = (row + offset[:, :1]) // window[:, :1]
    along = (column + offset[:, 1:]) // window[:, 1:]
    cell = (across[:, :, None] * (columns + 1) + along[:, None, :]).flatten(1)
    # the n-th position of a window gets the pixel with its n-th smallest key
    places = cell.argsort(dim=1, stable=True)
    pixels = (cell + keys.double()).argsort(dim=1)
    source = torch.empty_like(places).scatter_(1, places, pixels)
    flat = image.flatten(2)
    return flat.gather(2, source[:, None].expand_as(flat)).reshape(image.shape)
