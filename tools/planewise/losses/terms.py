"""The named terms of a loss: the interface between losses, metrics and the log, for one or several processes.

Every loss is a `TermLoss` that defines its weighted terms in `TermLoss.terms`. Training calls the loss like any module. The
log gets the named terms of the same step from `logged_terms`, and validation (`planewise.metrics.MaskedLoss`) pools the
terms over batches and processes, weighted by their counts. If targets may be unknown, use `mean_over_known`. If a loss has
several terms, each needs a name, which is also its column in ``history.csv``; ``train_loss`` contains a single one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Term:
    """One term of a loss, which is a weighted sum of terms.

    Attributes:
        mean: mean over the known targets of the batch (in training, of the batches of all processes), a scalar.
        count: number of known targets, pixels or pairs in the mean, for averages over several batches.
        weight: factor of the mean in the sum.
        name: name of the term's column in the log, which contains the mean without the weight; None for a single term.
    """

    mean: Tensor
    count: Tensor | int
    weight: float = 1.0
    name: str | None = None


class TermLoss(nn.Module):
    """A loss that is the weighted sum of its `terms`.

    Attributes:
        last_terms: detached terms of the last call with gradients; a call in validation does not change them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_terms: tuple[Term, ...] = ()

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        """Compute the terms of a batch: at least one, and always in the same order.

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
    """The weighted sum of the terms, a scalar."""
    first, *others = (term.weight * term.mean for term in terms)
    return sum(others, start=first)


def mean_over_known(total: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``total / |K|`` over the known targets K (0 if none is known), and their number ``|K|``.

    `DistributedDataParallel` averages the gradients of W processes, but their batches have different numbers of known
    targets. In training, the divisor is therefore ``sum_w |K_w| / W``, so that the mean of the W losses is that of the batch.

    Args:
        total: sum over the known targets of this process, a scalar.
        known: whether each target is known, bool, any shape.
    """
    count = known.sum()
    # in validation, the processes may have different numbers of batches, so they must not wait for each other
    if idist.get_world_size() == 1 or not torch.is_grad_enabled():
        return total / count.clamp_min(1), count
    count = torch.as_tensor(idist.all_reduce(count))
    return total * idist.get_world_size() / count.clamp_min(1), count


def logged_terms(loss: Any) -> dict[str, Tensor]:
    """Map the names of a loss's terms to their detached means in the last training step.

    The result is empty for a loss that is not a `TermLoss`.
    """
    return {term.name: term.mean for term in getattr(loss, "last_terms", ()) if term.name is not None}


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows of all processes for a step of training, in the order of the processes.

    Gradients flow back to the process that a row comes from. N processes therefore make the same step as one process with a
    batch that is N times larger, because `DistributedDataParallel` takes the mean of their gradients.

    Args:
        rows: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(W * B, ...)`` for W processes; in validation (without gradients), and with one process, the rows as they are.
    """
    return _Gathered.apply(rows) if torch.is_grad_enabled() and idist.get_world_size() > 1 else rows


class _Gathered(torch.autograd.Function):
    """Gather with gradients. `torch.distributed.nn.functional.all_gather` is deprecated, and its replacement is private."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        everyone = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
