"""The named terms of a loss: the contract between losses, metrics, the log, and several processes.

Every loss is a `TermLoss`. It says in one method, `TermLoss.terms`, what it is the weighted sum of; everything else follows:

- **training** calls the loss like any module and gets that sum, a scalar with a gradient. Nothing is computed twice;
- **the log** (`HistoryHandler`, TensorBoard) asks `logged_terms` for the named terms of that step;
- **validation** (`planewise.metrics.MaskedLoss`) calls `TermLoss.terms` and pools them over batches and processes by their
  counts;
- **several processes**: `DistributedDataParallel` steps by the mean of the processes' gradients. A mean over targets of which
  some are not known comes from `planewise.losses.mean_over_known.mean_over_known`, which scales it so that this mean is that
  of the one batch that they hold together. A mean over equally many items in every process needs no scaling.

A new loss subclasses `TermLoss` and writes `terms`; of a sum, each term has a name and with that a column of
``history.csv``. A loss that is one mean alone leaves the name out, since the column ``train_loss`` says it already.
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
        mean: over what is known of the batch (of all processes' batches, while training), a scalar.
        count: how many that are: known targets, pixels, pairs. Means of several batches are weighted by it.
        weight: factor in the sum.
        name: column in the log, where the mean stands without its weight; None for a term that is the whole loss.
    """

    mean: Tensor
    count: Tensor | int
    weight: float = 1.0
    name: str | None = None


class TermLoss(nn.Module):
    """A loss that is the weighted sum of its `terms`.

    Attributes:
        last_terms: those of the last call with gradients, detached; validation leaves them as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_terms: tuple[Term, ...] = ()

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        """The terms of a batch, at least one, always in the same order.

        Args:
            prediction: the network's one tensor.
            target: what the loss compares it with: a tensor, or a dictionary of them.
        """
        raise NotImplementedError

    def forward(self, prediction: Tensor, target: Any) -> Tensor:
        terms = self.terms(prediction, target)
        if torch.is_grad_enabled():
            self.last_terms = tuple(replace(term, mean=term.mean.detach()) for term in terms)
        return weighted_sum(terms)


def weighted_sum(terms: list[Term]) -> Tensor:
    """The loss that some terms make, a scalar."""
    first, *others = (term.weight * term.mean for term in terms)
    return sum(others, start=first)


def logged_terms(loss: Any) -> dict[str, Tensor]:
    """Name to mean of the last training step's named terms, detached; nothing for a loss that is not a `TermLoss`."""
    return {term.name: term.mean for term in getattr(loss, "last_terms", ()) if term.name is not None}
