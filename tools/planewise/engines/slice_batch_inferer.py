"""Run a network for slices on whole volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from monai.data import MetaTensor
from monai.utils import convert_to_dst_type
from torch import Tensor

from planewise.engines.autocast_inferer import AutocastInferer


class SliceBatchInferer(AutocastInferer):
    """Run a network for slices on volumes, with their slices as its batch.

    It is MONAI's `SliceInferer` without windows, for networks that take whole slices. A batch of slices may span
    volumes.

    Args:
        batch_size: number of slices per call of the network.
        amp: see `precision`; float16 is left to MONAI's engine.

    Called with volumes ``(B, C, i, j, k)`` and a network from ``(N, C, i, j)`` to ``(N, D, i, j)``, it returns ``(B, D, i,
    j, k)`` with the volumes' metadata.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False) -> None:
        super().__init__(amp)
        self.batch_size = batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        # a MetaTensor carries its metadata through every layer, which costs more than a small layer
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        slices = rearrange(volumes, "b c i j k -> (b k) c i j")
        run = super().__call__
        batches = [run(batch, network, *args, **kwargs) for batch in slices.split(self.batch_size)]
        output = rearrange(torch.cat(batches), "(b k) c i j -> b c i j k", b=len(volumes))
        return convert_to_dst_type(output, inputs, dtype=output.dtype)[0]
