"""Volumes sampled through affine maps on a processor, where `grid_sample` goes voxel by voxel."""

from __future__ import annotations

import torch
from torch import Tensor

#: Voxels that a processor's core takes at a time: the dozen arrays of each step stay in its second-level cache.
_BLOCK = 2**15


def sample_volumes(volumes: Tensor, to_input: Tensor, background: Tensor, nearest: bool = False) -> Tensor:
    """Sample each volume of a batch through its own affine map, three times as fast as `grid_sample` does.

    Numbers are those of `torch.nn.functional.grid_sample` with corners aligned, to rounding.

    Args:
        volumes: ``(B, C, i, j, k)`` floats, on the CPU.
        to_input: voxel indices of the result to those of the input, ``(B, 3, 4)`` float64.
        background: what lies outside, ``(B, C)``.
        nearest: whether to take the nearest voxel; otherwise the eight around are weighed (trilinear).

    Returns:
        Like ``volumes``.
    """
    sampled = torch.empty_like(volumes, memory_format=torch.contiguous_format)
    # one voxel of background before, two behind: a place on the last of them has a neighbour, too
    padded = volumes.new_empty(volumes.shape[1], *(side + 3 for side in volumes.shape[2:]))
    for volume, way, outside, result in zip(volumes, to_input, background, sampled, strict=True):
        padded.copy_(outside[:, None, None, None].expand_as(padded))
        padded[:, 1:-2, 1:-2, 1:-2] = volume
        _sample(padded, way, nearest, result)
    return sampled


def _sample(padded: Tensor, way: Tensor, nearest: bool, result: Tensor) -> None:
    """One volume with its background around it, into ``result`` ``(C, i, j, k)``."""
    shape = result.shape[1:]
    flat, (far, near) = padded.flatten(1), (padded.stride(1), padded.stride(2))
    values_of_one = flat.shape[1]
    along = [torch.arange(side, dtype=torch.float64) for side in shape]
    # what depends on the place in a plane alone, float32 as the sum is
    planes = [(row[1] * along[1])[:, None] + row[2] * along[2] for row in way]
    planes = [plane.to(torch.float32) for plane in planes]
    starts = (way[:, :1] * along[0] + way[:, 3:] + 1).to(torch.float32)
    step = max(1, torch.get_num_threads() * _BLOCK // planes[0].numel())
    for first in range(0, shape[0], step):
        part = slice(first, first + step)
        places = [
            (start[part, None, None] + plane).clamp_(0, side + 1)
            for start, plane, side in zip(starts, planes, shape, strict=True)
        ]
        whole = [torch.round(place) if nearest else torch.floor(place) for place in places]
        # whole numbers up to 2^24 are exact in float32, and adding them is quicker than turning each into an integer
        exact = whole if values_of_one < 2**24 else [place.double() for place in whole]
        index = torch.add(exact[2], exact[1], alpha=near).add_(exact[0], alpha=far).long().flatten()
        size = whole[0].shape
        if nearest:
            for channel, values in enumerate(flat):
                torch.index_select(values, 0, index, out=result[channel, part].view(-1))
            continue
        i, j, k = (place.sub_(floor) for place, floor in zip(places, whole, strict=True))
        for channel, values in enumerate(flat):

            def corner(at: int, values: Tensor = values) -> Tensor:
                return values[at:].index_select(0, index).view(size)  # noqa: B023 (called in this turn)

            def edge(at: int) -> Tensor:
                return torch.lerp(corner(at), corner(at + 1), k)  # noqa: B023

            def face(at: int) -> Tensor:
                return torch.lerp(edge(at), edge(at + near), j)  # noqa: B023

            torch.lerp(face(0), face(far), i, out=result[channel, part])
