"""From a batch of the dataset to the network's input and the loss's target, on the network's device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor


class PrepareSliceBatch(PrepareBatch):
    """Move a batch to the device, apply the batch transforms there, and part it into image and target.

    Args:
        targets: keys of the target. A text gives that tensor; a list gives a dictionary of them.
        augmentation: batch transforms, random ones first, targets last (``train#augmentation``); None for neither.
    """

    def __init__(
        self, targets: str | Sequence[str], augmentation: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> None:
        self.augmentation = augmentation
        self.targets = targets if isinstance(targets, str) else tuple(targets)

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | dict[str, Tensor]]:
        batch = on_device(batchdata, device, non_blocking, self.augmentation)
        if isinstance(self.targets, str):
            return batch["image"], batch[self.targets]
        return batch["image"], {key: batch[key] for key in self.targets if key in batch}


def on_device(
    batch: dict[str, Tensor],
    device: str | torch.device | None,
    non_blocking: bool,
    augmentation: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> dict[str, Tensor]:
    """The batch on the device, with its transforms applied there."""
    batch = {name: value.to(device, non_blocking=non_blocking) for name, value in batch.items()}
    if augmentation is None:
        return batch
    with torch.no_grad():
        return augmentation(batch)
