"""Ignite metrics that keep numbers of every item and score all of them at the end of an epoch, and a loss with unknown
targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from ignite.metrics import EpochMetric, Loss, Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from planewise.losses import TermLoss, weighted_sum


def pred_and_label(output: Any) -> Any:
    """The prediction and the target in an engine's output. If the output does not come from an engine, it is returned
    unchanged."""
    return output if type(output) in (tuple, list) else (output["pred"], output["label"])


class KeptMetric(Metric):
    """Keep the tensors ``(B, ...)`` that ``kept`` selects from each batch; pass those of the whole epoch to
    ``scores``, and with several processes, those of all processes. Ignite lists each score under its own name."""

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
    """A score over all items of an epoch, of all processes, from predictions and targets, ``(B, ...)`` each. Ignite's
    `EpochMetric` requires the same number of items in every process.

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


class MaskedLoss(Loss):
    """Ignite's `Loss`, for a loss that is a mean over known targets.

    Ignite's `Loss` is the mean over batches, weighted by their numbers of items. For a loss with `terms`, the N batches of
    N processes count as a single batch: the known targets are combined before the mean is taken, so the result is the same
    as for one process with batches that are N times larger.

    Args:
        loss_fn: a `planewise.losses.TermLoss`, or any function of prediction and target whose value is a mean.
        output_transform, batch_size: as in Ignite, except that the size of a batch whose targets are a dictionary is the
            length of the first one.
    """

    def __init__(
        self,
        loss_fn: TermLoss | Callable[[Tensor, Any], Tensor],
        output_transform: Callable = pred_and_label,
        batch_size: Callable[[Any], int] | None = None,
    ) -> None:
        self._has_terms = hasattr(loss_fn, "terms")
        self._terms_of: Callable = getattr(loss_fn, "terms", loss_fn)
        super().__init__(self._mean if self._has_terms else loss_fn, output_transform, batch_size or _items)

    @reinit__is_reduced
    def reset(self) -> None:
        super().reset()
        self._batches: list[Tensor] = []

    def _mean(self, prediction: Tensor, target: Any) -> Tensor:
        """The loss of a batch, for Ignite. With several processes, the terms of the batch are also kept for `compute`."""
        terms = self._terms_of(prediction, target)
        if idist.get_world_size() > 1:
            self._weights = torch.tensor([term.weight for term in terms], dtype=torch.float64)
            numbers = [*(term.mean for term in terms), *(term.count for term in terms), self._batch_size(target)]
            on_device = [torch.as_tensor(number, dtype=torch.float64, device=prediction.device) for number in numbers]
            self._batches.append(torch.stack(on_device).cpu())
        return weighted_sum(terms)

    def compute(self) -> float:
        if idist.get_world_size() == 1 or not self._has_terms:
            return super().compute()
        # (batches, processes, columns); a process that has one batch fewer than another gets zeros for it
        batches = pad_sequence(evenly_divisible_all_gather(torch.stack(self._batches), concat=False))
        terms = len(self._weights)
        means, known, items = batches[..., :terms], batches[..., terms:-1], batches[..., -1].sum(dim=1)
        means = (means * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)
        return float((means @ self._weights * items).sum() / items.sum())


def _items(target: Any) -> int:
    return len(next(iter(target.values())) if isinstance(target, Mapping) else target)
