"""Loss of fine-tuning on segmentation of volumes, Taleb 2020."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss

#: Smoothing, as in MONAI's `DiceLoss`.
_E = 1e-5


class SoftDiceLoss(TermLoss):
    """One minus the soft Dice of every class, averaged:
    ``L = 1 - 1/C sum_c (2 sum_v p_v g_v + e) / (sum_v p_v + sum_v g_v + e)``, ``p = softmax(x)``.

    The background is a class too. Without it softmax finds a way out: a structure that is not learned yet takes in the
    background, which costs that structure's Dice alone, and nothing pushes it back. The voxels v are those of the whole
    batch, of all processes, as if it were one volume: many volumes and most slices lack a structure, and by themselves they
    would hardly push what is predicted there. The authors' code does both; the paper names no loss. ``e`` is 1e-5. For one
    process it is MONAI's `DiceLoss` of softmax with the background and with ``batch``.

    It takes logits ``(B, C, ...)`` and labels, the numbers of the classes, ``(B, 1, ...)``.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        shares = prediction.softmax(dim=1).flatten(2)
        truth = one_hot(target[:, 0].long().flatten(1), prediction.shape[1]).to(shares).movedim(-1, 1)
        # (1, 2, classes): MONAI's loss would sum over its own process alone
        sums = torch.stack([2 * (shares * truth).sum((0, 2)), (shares + truth).sum((0, 2))])[None]
        if torch.is_grad_enabled() and idist.get_world_size() > 1:
            sums = gathered(sums)
        shared, held = sums.sum(0)
        return [Term(1 - ((shared + _E) / (held + _E)).mean(), len(prediction))]
