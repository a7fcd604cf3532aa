"""From a batch of the dataset to the network's input and the loss's target, on the network's device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from monai.engines import PrepareBatch
from torch import Tensor

from planewise.data.to_device import to_device


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
    batch = {name: _moved(value, device, non_blocking) for name, value in batch.items()}
    if augmentation is not None:
        with torch.no_grad():
            batch = augmentation(batch)
    if torch.is_grad_enabled() and idist.get_world_size() > 1:
        # the augmentation wants the seed that all processes share; what the network drops must differ between them
        torch.manual_seed((torch.initial_seed() * 1_000_003 + idist.get_rank() + 1) % 2**63)
    return batch


def _moved(value: Tensor, device: str | torch.device | None, non_blocking: bool) -> Tensor:
    return to_device(value, device) if non_blocking and device is not None else value.to(device)
