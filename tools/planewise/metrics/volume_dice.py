"""Compute the Dice of whole volumes from predictions for slices, for validation during training."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather
from torch import Tensor

from planewise.data.datalist import is_whole_volume
from planewise.errors import InputError


class _Slices(Protocol):
    items: Sequence[Mapping[str, Any]]


class VolumeDice(Metric):
    """Mean Dice over all structures and volumes, on the network's grid (Zhang 2024, section 5.2.2).

    A mean over the slices that contain a structure would ignore false predictions in all other slices. Here, the slices
    of one exam, stack and phase form a volume, and ``Dice = 2 sum_s |P_s n R_s| / sum_s (|P_s| + |R_s|)`` includes all of
    them. A structure that is absent from both prediction and reference scores 1, as in
    `planewise.metrics.volume_scores`. With several processes, each gets the score over the slices of all processes.

    Args:
        dataset: the evaluator's slices; its ``items`` identify the volume of each slice.
        num_classes: number of classes: the background (0, which is not scored) and the structures.
        regions: class numbers that are scored together (`planewise.metrics.region_classes`); None scores each structure
            separately.
        output_transform: extracts prediction and reference, which are label values ``(B, 1, ...)``, from the engine's
            output.

    The engine's batch must contain ``index`` ``(B,)``, the rows of the slices in the dataset.

    Raises:
        InputError: ``output_transform`` returns something else. The error is raised during the run.
    """

    def __init__(
        self,
        dataset: _Slices,
        num_classes: int,
        output_transform: Callable[[Any], Any] = lambda output: output,
        regions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        numbers: dict[Hashable, int] = {}
        self._volume = torch.tensor([numbers.setdefault(_volume(item), len(numbers)) for item in dataset.items])
        self._num_classes = int(num_classes)
        self._regions = None if regions is None else [list(region) for region in regions]
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts: list[Tensor] = []
        self._rows: list[Tensor] = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        # the slices are identified by MONAI's batch, but not by the output
        batch: Any = engine.state.batch
        values = self._output_transform(engine.state.output)
        if (
            not isinstance(values, (tuple, list))
            or len(values) != 2
            or not all(isinstance(each, Tensor) and len(each) == len(batch["index"]) for each in values)
        ):
            raise InputError(
                "VolumeDice needs an output_transform that returns the label values (B, 1, ...) of prediction and reference; "
                "write \"$lambda output: (output['pred'].argmax(1, keepdim=True), output['label'])\""
            )
        self.update((*values, batch["index"]))

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add a batch, which consists of prediction, reference, and the rows of the slices in the dataset, ``(B,)``."""
        prediction, reference, rows = output
        # one byte per pixel, because a one-hot encoding in int64 took a third of the validation time
        found, true = (values[:, 0].flatten(1).to(torch.uint8) for values in (prediction, reference))
        structures = [[value] for value in range(1, self._num_classes)] if self._regions is None else self._regions
        counts = [_shared_and_held(_pixels_of(classes, found), _pixels_of(classes, true)) for classes in structures]
        self._counts.append(torch.stack(counts, dim=-1))
        self._rows.append(torch.as_tensor(rows))

    def compute(self) -> float:
        """The mean Dice. It is 0 if there was no slice, so that such an epoch does not become the best one."""
        if not self._counts:
            return 0.0
        counts = evenly_divisible_all_gather(torch.cat(self._counts), concat=True).cpu()
        volumes = self._volume[evenly_divisible_all_gather(torch.cat(self._rows), concat=True).cpu()]
        seen, own = volumes.unique(return_inverse=True)
        shared, held = torch.zeros(len(seen), *counts.shape[1:], dtype=counts.dtype).index_add(0, own, counts).unbind(1)
        return float(torch.where(held > 0, shared / held.clamp_min(1), 1.0).mean())


def _pixels_of(classes: Sequence[int], values: Tensor) -> Tensor:
    """Whether each pixel has one of the values ``classes``, ``(B, pixels)``, bool."""
    first, *others = classes
    found = values == first
    for value in others:
        found |= values == value
    return found


def _shared_and_held(found: Tensor, true: Tensor) -> Tensor:
    """Twice the number of pixels that both masks share, and the sum of their numbers of pixels, ``(B, 2)``."""
    return torch.stack([2 * (found & true).sum(dim=1), found.sum(dim=1) + true.sum(dim=1)], dim=1)


def _volume(item: Mapping[str, Any]) -> Hashable:
    """The key that the slices of one volume share."""
    # slices that were cut from the same NIfTI file belong together; each DICOM slice has its own file
    file = str(item["image"]) if is_whole_volume(item["image"]) else None
    return item["exam"], item.get("stack"), item.get("phase"), item.get("time"), file
