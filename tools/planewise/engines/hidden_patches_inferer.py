"""Run a masked autoencoder so that every pixel is predicted while it is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from planewise.engines.slice_batch_inferer import SliceBatchInferer
from planewise.pretexts.mask_patches import on_pixels, patch_grid


class HiddenPatchesInferer(SliceBatchInferer):
    """Restore whole volumes, slice by slice, from a few patches at a time.

    The patches of a slice are divided at random into groups, each with a share of about ``1 - mask_ratio`` of the
    patches. The network sees one group at a time, and all other patches are hidden (`planewise.pretexts.MaskPatchesd`).
    A pixel of the result is the mean of the predictions that were made while this pixel was hidden. All slices and all
    calls use the same groups.

    Called with volumes ``(B, 1, i, j, k)`` and a network that maps ``(N, 1, i, j)`` to ``(N, 1, i, j)``, it returns
    ``(B, 1, i, j, k)`` with the metadata of the volumes.

    Args:
        patch_size: side of a patch, pixels; it must be the same as in training.
        mask_ratio: share of hidden patches per pass; 0.75 makes four groups.
        batch_size, amp: see `SliceBatchInferer`.

    Raises:
        InputError: the patches do not fill the slices.
    """

    def __init__(
        self, patch_size: int = 16, mask_ratio: float = 0.75, batch_size: int = 20, amp: bool | str | None = False
    ) -> None:
        super().__init__(batch_size, amp)
        self.patch_size = int(patch_size)
        self.groups = max(2, round(1 / (1 - float(mask_ratio))))

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        seen = self.seen(tuple(inputs.shape[2:4])).to(inputs.device)

        def restore(image: Tensor) -> Tensor:
            total, times = torch.zeros_like(image, dtype=torch.float32), torch.zeros_like(seen[0], dtype=torch.float32)
            for group in seen:
                total += torch.where(group, 0.0, network(image.masked_fill(~group, 0.0)).float())
                times += ~group
            return total / times

        return super().__call__(inputs, restore, *args, **kwargs)

    def seen(self, shape: tuple[int, int]) -> Tensor:
        """The pixels that the network sees in each group's pass, ``(groups, i, j)``, bool."""
        grid = patch_grid(shape, self.patch_size)
        groups = min(self.groups, grid.numel())
        lots = torch.rand(grid.numel(), generator=torch.Generator().manual_seed(0)).argsort() % groups
        of_group = (lots == torch.arange(groups)[:, None]).reshape(groups, 1, *grid)
        return on_pixels(of_group, self.patch_size)[:, 0]
