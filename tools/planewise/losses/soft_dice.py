"""Loss for fine-tuning on the segmentation of volumes (Taleb 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss

#: Smoothing, as in MONAI's `DiceLoss`.
_E = 1e-5


class SoftDiceLoss(TermLoss):
    """One minus the mean soft Dice of all classes.

    ``L = 1 - 1/C sum_c (2 sum_v p_v g_v + e) / (sum_v p_v + sum_v g_v + e)`` with ``p = softmax(x)`` and ``e = 1e-5``. With
    one process, the loss equals MONAI's `DiceLoss` with softmax, background and ``batch``.

    The background counts as a class. Otherwise, training could take a shortcut: a structure that is not learned yet could
    spread over the background at the cost of only its own Dice, and nothing would reverse this. The sums run over the voxels
    v of the whole batch, in all processes, as if the batch were a single volume. Many volumes and most slices lack a
    structure, so separate sums would hardly penalise false predictions in them. The authors' code also includes the
    background and sums over the whole batch; the paper names no loss.

    It takes logits ``(B, C, ...)`` and class numbers ``(B, 1, ...)``.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        shares = prediction.softmax(dim=1).flatten(2)
        truth = one_hot(target[:, 0].long().flatten(1), prediction.shape[1]).to(shares).movedim(-1, 1)
        # (1, 2, classes); MONAI's loss would sum only over its own process
        sums = torch.stack([2 * (shares * truth).sum((0, 2)), (shares + truth).sum((0, 2))])[None]
        shared, held = gathered(sums).sum(0)
        return [Term(1 - ((shared + _E) / (held + _E)).mean(), len(prediction))]
