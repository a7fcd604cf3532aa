"""Loss of exemplar networks, Taleb 2020 section 3.5."""

from __future__ import annotations

from collections.abc import Mapping

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.nn.functional import triplet_margin_loss

from planewise.errors import InputError
from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss


class TripletLoss(TermLoss):
    """``L_Exe = 1/N sum_i max(0, D(z_i, z_i+) - D(z_i, z_i-) + alpha)`` (Taleb 2020, Eq. 3), where D is the L2 distance.

    It takes embeddings ``(B, V, D)`` of the V views from `planewise.pretexts.ExemplarViewsd`: the sample, its transformed
    version, and optionally a different sample. Without this third view, the negative is another sample of the batch
    (`negatives`).

    Args:
        margin: alpha.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be above zero, got {margin}")
        self.margin = float(margin)

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        anchor, positive = prediction[:, 0], prediction[:, 1]
        loss = triplet_margin_loss(anchor, positive, negatives(prediction, target), self.margin)
        return [Term(loss, len(prediction))]


def negatives(prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Select the embedding of a different sample for each sample, ``(B, D)``.

    If there is a third view, it is selected. Otherwise, the untransformed view of another sample in the batch is
    selected: of all samples with another ``index``, the one with the highest ``order``. (If all samples of a batch have
    the same ``index``, one of them is selected.)

    In training with several processes, each process selects from the batches of all processes, and gradients flow to all
    of them. N processes therefore make the same step as one process with a batch that is N times larger. In validation,
    each process selects from its own batch.

    Args:
        prediction: ``(B, V, D)``, where V is 2 or 3.
        target: ``index`` ``(B,)`` and ``order`` ``(B, N)``, where N is the number of samples in the batches of all
            processes.

    Raises:
        InputError: a training batch has only one sample.
    """
    if prediction.shape[1] == 3:
        return prediction[:, 2]
    anchor, index, order = prediction[:, 0], target["index"], target["order"]
    rank, processes = idist.get_rank(), idist.get_world_size()
    others, numbers = anchor, index
    if processes > 1 and torch.is_grad_enabled():
        others, numbers = (
            _dealt(rows, processes) for rows in (gathered(anchor), torch.as_tensor(idist.all_gather(index)))
        )
    else:
        order = order[:, rank::processes]
    if torch.is_grad_enabled() and len(others) < 2:
        raise InputError(
            "every batch needs at least 2 samples for contrastive learning, got 1; choose a --batch_size of 2 or more "
            "that does not leave one sample over (--samples_per_epoch), or --negatives_from dataset"
        )
    chosen = order.masked_fill(index[:, None] == numbers, -1.0).argmax(dim=1)
    return others.index_select(0, chosen)


def _dealt(rows: Tensor, processes: int) -> Tensor:
    """Rearrange rows that are ordered by process to the order of the whole batch.

    The samples of the whole batch were assigned to the processes in turns.
    """
    return rows.unflatten(0, (processes, -1)).transpose(0, 1).flatten(0, 1)
