"""Make the network's input and the loss's target from a batch of a dataset, on the network's device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from einops import rearrange
from monai.engines import PrepareBatch
from torch import Tensor

from planewise.augmentation.each_image import whole_batches
from planewise.data.to_device import to_device

#: A function that takes a batch and returns it with changed or added entries.
BatchTransform = Callable[[dict[str, Any]], dict[str, Any]]


class PrepareSliceBatch(PrepareBatch):
    """Move a batch to the device, apply the batch transforms there, and split the batch into image and target.

    The pretext always comes after the augmentation, because its targets must match the image that the network sees.

    Args:
        targets: keys of the target. A single key gives a tensor as the target; a list of keys gives a dictionary.
        augmentation: random transforms (``train#augmentation``); None in validation.
        pretext: the pretext's batch transform (``train#pretext``); None if the items already contain the targets.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        augmentation: BatchTransform | None = None,
        pretext: BatchTransform | None = None,
    ) -> None:
        self.targets = targets if isinstance(targets, str) else tuple(targets)
        self.augmentation = None if augmentation is None else whole_batches(augmentation)
        self.pretext = pretext

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | dict[str, Tensor]]:
        batch = on_device(batchdata, device, non_blocking, self.augmentation, self.pretext)
        if isinstance(self.targets, str):
            return batch["image"], batch[self.targets]
        return batch["image"], {key: batch[key] for key in self.targets if key in batch}


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


def on_device(
    batch: dict[str, Tensor],
    device: str | torch.device | None,
    non_blocking: bool,
    *transforms: BatchTransform | None,
) -> dict[str, Tensor]:
    """Move a batch to the device and apply the transforms there, one after the other."""
    pinned = non_blocking and device is not None
    batch = {name: to_device(value, device) if pinned else value.to(device) for name, value in batch.items()}
    with torch.no_grad():
        for transform in transforms:
            if transform is not None:
                batch = transform(batch)
    if torch.is_grad_enabled() and idist.get_world_size() > 1:
        # all processes share the seed that the transforms need, but their dropout must differ
        torch.manual_seed((torch.initial_seed() * 1_000_003 + idist.get_rank() + 1) % 2**63)
    return batch
