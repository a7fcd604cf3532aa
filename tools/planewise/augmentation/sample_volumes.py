"""Sample volumes through affine maps on a CPU, faster than `grid_sample`, which works voxel by voxel."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

#: Number of voxels that a CPU core processes at a time: fewer have more overhead, and more exceed the core's caches.
_BLOCK = 2**16


def sample_volumes(
    volumes: Tensor, to_input: Tensor, background: Tensor, masks: Mapping[Hashable, Tensor] | None = None
) -> tuple[Tensor, dict[Hashable, Tensor]]:
    """Sample each volume of a batch linearly, and its masks by nearest neighbour, through its own affine map: like
    `torch.nn.functional.grid_sample` with corners aligned, apart from rounding, but three times as fast.

    Args:
        volumes: ``(B, C, i, j, k)`` float32, on the CPU.
        to_input: maps from voxel indices of the result to those of the input, ``(B, 3, 4)`` float64.
        background: value outside the volumes, ``(B, C)``.
        masks: maps names to masks of the volumes, ``(B, 1, i, j, k)``; outside the volumes, masks are 0.
    """
    masks = dict(masks or {})
    sampled = torch.empty_like(volumes, memory_format=torch.contiguous_format)
    moved = {key: torch.empty_like(mask, memory_format=torch.contiguous_format) for key, mask in masks.items()}
    block = _Block(volumes.shape[2:])
    room, mask_rooms = block.room(volumes), {key: block.room(mask) for key, mask in masks.items()}
    for number, way in enumerate(to_input):
        block.fill(room, volumes[number], background[number])
        for key, mask in masks.items():
            block.fill(mask_rooms[key], mask[number], mask.new_zeros(mask.shape[1]))
        for part in block.parts(way):
            for key, mask_room in mask_rooms.items():
                block.nearest(mask_room, moved[key][number, :, part])
            block.linear(room, sampled[number, :, part])
    return sampled, moved


class _Block:
    """Process a few planes of a volume at a time. The arrays are reused, because new arrays would not be in the cache."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        # one voxel of background before the volume and two after it, so that the last voxel has a neighbour, too
        self.sides = [side + 3 for side in self.shape]
        self.far, self.near = self.sides[1] * self.sides[2], self.sides[2]
        step = max(1, torch.get_num_threads() * _BLOCK // (self.shape[1] * self.shape[2]))
        self.steps = [slice(first, first + step) for first in range(0, self.shape[0], step)]
        self._arrays = torch.empty(6, min(step, self.shape[0]), *self.shape[1:])
        self._index = torch.empty(self._arrays.shape[1:], dtype=torch.int64)

    def room(self, volumes: Tensor) -> Tensor:
        """Allocate an array into which `fill` writes a volume of this shape, surrounded by its background."""
        return volumes.new_empty(volumes.shape[1], *self.sides)

    @staticmethod
    def fill(room: Tensor, volume: Tensor, background: Tensor) -> None:
        for axis in (1, 2, 3):
            for border in (room.narrow(axis, 0, 1), room.narrow(axis, -2, 2)):
                border.copy_(background[:, None, None, None].expand_as(border))
        room[:, 1:-2, 1:-2, 1:-2] = volume

    def parts(self, way: Tensor) -> Iterator[slice]:
        """Compute the positions in the padded volume block by block, and yield the range of planes of each block."""
        along = [torch.arange(side, dtype=torch.float64) for side in self.shape]
        # terms that depend only on the position in a plane; they are float32, like the sum
        planes = [((row[1] * along[1])[:, None] + row[2] * along[2]).to(torch.float32) for row in way]
        starts = (way[:, :1] * along[0] + way[:, 3:] + 1).to(torch.float32)
        for part in self.steps:
            count = len(range(*part.indices(self.shape[0])))
            arrays = self._arrays[:, :count].unbind(0)
            self.places, self.spare, self.index = arrays[:3], arrays[3:], self._index[:count]
            for place, start, plane, side in zip(self.places, starts, planes, self.shape, strict=True):
                torch.add(start[part, None, None], plane, out=place).clamp_(0, side + 1)
            yield part

    def nearest(self, room: Tensor, result: Tensor) -> None:
        """Write the voxel nearest to each position to ``result`` ``(C, ...)``. Call this before `linear`, which overwrites
        the positions."""
        for place, whole in zip(self.places, self.spare, strict=True):
            torch.round(place, out=whole)
        index = self._found()
        for values, channel in zip(room.flatten(1), result, strict=True):
            torch.index_select(values, 0, index, out=channel.view(-1))

    def linear(self, room: Tensor, result: Tensor) -> None:
        """Write the weighted sum of the eight voxels around each position to ``result`` ``(C, ...)``."""
        for place, whole in zip(self.places, self.spare, strict=True):
            place.sub_(torch.floor(place, out=whole))
        index, (i, j, k), (one, two, three) = self._found(), self.places, self.spare
        for values, channel in zip(room.flatten(1), result, strict=True):

            def edge(at: int, into: Tensor, values: Tensor = values) -> Tensor:
                torch.index_select(values[at:], 0, index, out=into.view(-1))
                torch.index_select(values[at + 1 :], 0, index, out=three.view(-1))
                return torch.lerp(into, three, k, out=into)

            def face(at: int, into: Tensor) -> Tensor:
                return torch.lerp(edge(at, into), edge(at + self.near, two), j, out=into)

            torch.lerp(face(0, channel), face(self.far, one), i, out=channel)

    def _found(self) -> Tensor:
        """Flat indices ``(N,)`` of voxels in a padded volume, from their integer coordinates in ``spare``."""
        i, j, k = self.spare
        # whole numbers up to 2^24 are exact in float32, and adding them is faster than converting each to an integer
        if self.far * self.sides[0] >= 2**24:
            i, j, k = i.double(), j.double(), k.double()
        self.index.copy_(k.add_(j, alpha=self.near).add_(i, alpha=self.far))
        return self.index.view(-1)
