"""Ignite metrics that keep numbers of every item and score all of them at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from ignite.metrics import EpochMetric, Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather
from torch import Tensor


def pred_and_label(output: Any) -> Any:
    """The prediction and the target in an engine's output. If the output does not come from an engine, it is returned
    unchanged."""
    return output if type(output) in (tuple, list) else (output["pred"], output["label"])


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


class EpochScore(EpochMetric):
    """A score over all items of an epoch. With several processes, each gets the score over the items of all processes.

    Updates take predictions and targets, ``(B, ...)`` each. (Ignite's `EpochMetric` requires the same number of items in
    every process.)

    Args:
        score: function that computes the score from all predictions and targets, such as `planewise.metrics.mean_auc`,
            `macro_auc` or `grade_kappa`.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(
        self, score: Callable[[Tensor, Tensor], float], output_transform: Callable[[Any], Any] = pred_and_label
    ) -> None:
        super().__init__(score, output_transform=output_transform, check_compute_fn=False)

    def compute(self) -> float:
        return self.compute_fn(
            *(evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._predictions, self._targets))
        )
