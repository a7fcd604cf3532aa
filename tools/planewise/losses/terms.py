"""The named terms of a loss: the contract between losses, metrics, the log, and several processes.

Every loss is a `TermLoss`. It defines its weighted summands in one method, `TermLoss.terms`, and all others use it:

- **training** calls the loss like any module and gets the weighted sum, a scalar with a gradient. Nothing is computed
  twice;
- **the log** (`HistoryHandler`, TensorBoard) gets the named terms of that step from `logged_terms`;
- **validation** (`planewise.metrics.MaskedLoss`) calls `TermLoss.terms` and pools them over batches and processes by their
  counts;
- **several processes**: `DistributedDataParallel` steps by the mean of the processes' gradients. A mean over partly
  unknown targets comes from `planewise.losses.mean_over_known.mean_over_known`, which scales it so that this mean
  equals that of the whole batch. A mean over the same number of items in every process needs no scaling.

A new loss subclasses `TermLoss` and defines `terms`. If it has several terms, each needs a name, which is also its column
in ``history.csv``. A single term needs no name, because the column ``train_loss`` already contains it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes:
        mean: over the known targets of the batch (in training, of all processes' batches), a scalar.
        count: number of known targets, pixels or pairs in the mean. It weights the means of several batches.
        weight: factor in the sum.
        name: name of the term's column in the log, which contains the mean without its weight; None for a single term.
    """

    mean: Tensor
    count: Tensor | int
    weight: float = 1.0
    name: str | None = None


class TermLoss(nn.Module):
    """A loss that is the weighted sum of its `terms`.

    Attributes:
        last_terms: terms of the last call with gradients, detached; validation does not change them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_terms: tuple[Term, ...] = ()

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        """The terms of a batch, at least one, always in the same order.

        Args:
            prediction: the network's output.
            target: the target of the loss: a tensor, or a dictionary of tensors.
        """
        raise NotImplementedError

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        terms = self.terms(prediction, target)
        if torch.is_grad_enabled():
            self.last_terms = tuple(replace(term, mean=term.mean.detach()) for term in terms)
        return weighted_sum(terms)


def weighted_sum(terms: list[Term]) -> Tensor:
    """The weighted sum of some terms, a scalar."""
    first, *others = (term.weight * term.mean for term in terms)
    return sum(others, start=first)


def logged_terms(loss: Any) -> dict[str, Tensor]:
    """Name and mean of the last training step's named terms, detached; empty for a loss that is not a `TermLoss`."""
    return {term.name: term.mean for term in getattr(loss, "last_terms", ()) if term.name is not None}
