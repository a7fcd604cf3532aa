import torch
from torch import Tensor


def in_paint(image: Tensor, corners: Tensor, sizes: Tensor, noise: Tensor) -> Tensor:
    """Replace the pixels of some blocks by noise (Zhou 2019, Models Genesis, section 2).

    Args:
        image: shape (B, C, H, W).
        corners: shape (B, N, 2), integer, the first row and column of each block.
        sizes: shape (B, N, 2), integer, rows and columns of each block; a block of size zero paints nothing.
        noise: shape of ``image``.
    """
    return torch.where(_in_blocks(image, corners, sizes), noise, image)


def out_paint(image: Tensor, corners: Tensor, sizes: Tensor, noise: Tensor) -> Tensor:
    """Replace all pixels outside the union of some blocks by noise; arguments as those of ``in_paint``."""
    return torch.where(_in_blocks(image, corners, sizes), image, noise)


def _in_blocks(image: Tensor, corners: Tensor, sizes: Tensor) -> Tensor:
    inside = []
    for axis in (0, 1):
        index = torch.arange(image.shape[2 + axis], device=image.device)
        start, size = corners[..., axis, None], sizes[..., axis, None]
        inside.append((index >= start) & (index < start + size))
    rows, columns = inside
    return (rows[..., :, None] & columns[..., None, :]).any(1, keepdim=True)
