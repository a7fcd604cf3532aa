"""The base class of Ignite metrics that keep numbers of every item and score all of them at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather
from torch import Tensor

from planewise.metrics.pred_and_label import pred_and_label


class KeptMetric(Metric):
    """Keep the tensors ``(B, ...)`` that ``kept`` selects from each batch; pass those of the whole epoch to ``scores``."""

    kept: Callable[[Tensor, dict[str, Tensor]], Iterable[Tensor]]
    scores: Callable[..., dict[str, float]]

    def __init__(self, output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._batches: list[list[Tensor]] = []

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, dict[str, Tensor]]) -> None:
        prediction, target = output
        self._batches.append([values.cpu() for values in self.kept(prediction.detach(), target)])

    def compute(self) -> dict[str, float]:
        parts = [torch.cat(part) for part in zip(*self._batches, strict=True)]
        return self.scores(*(evenly_divisible_all_gather(part, concat=True) for part in parts)) if parts else {}
