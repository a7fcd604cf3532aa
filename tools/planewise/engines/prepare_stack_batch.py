"""Turn a batch of stacks, or of hearts at two phases, into the classifier's input, on the network's device."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from monai.engines import PrepareBatch
from torch import Tensor

from planewise.augmentation.each_image import whole_batches
from planewise.engines.prepare_batch import BatchTransform, on_device


class PrepareStackBatch(PrepareBatch):
    """Move a batch of `StackDataset` to the device, transform its stacks there, and split the batch into input, label and
    mask.

    Args:
        augmentation: random batch transforms; None applies no augmentation. The slices of a stack are its channels, so
            they move together.

    Returns:
        The image ``(B, 1, H, W, S)``, the labels, no positional arguments, and the keyword argument ``mask`` ``(B, S)``
        for the network.
    """

    #: Number of stacks per exam, which are concatenated in the batch's channels.
    phases = 1

    def __init__(self, augmentation: BatchTransform | None = None) -> None:
        self.augmentation = None if augmentation is None else whole_batches(augmentation)

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple, dict[str, Tensor]]:
        batch = on_device(batchdata, device, non_blocking, self.augmentation)
        image = rearrange(batch["image"], "b (phase s) h w -> b phase h w s", phase=self.phases)
        return image, batch["label"], (), {"mask": batch["mask"]}


class PreparePhasesBatch(PrepareStackBatch):
    """Move a batch of `TwoPhaseDataset` to the device, transform its exams there, and split it into input, label and
    mask.

    Args:
        augmentation: random batch transforms; the slices of both phases are an exam's channels and move together. None
            applies no augmentation.

    Returns:
        The image ``(B, 2, H, W, S)``, the labels ``(B,)``, no positional arguments, and the keyword argument ``mask``
        ``(B, S)`` for the network.
    """

    phases = 2
