"""Loss of fine-tuning on segmentation of volumes, Taleb 2020."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn.functional import one_hot

from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss

#: Smoothing, as in MONAI's `DiceLoss`.
_E = 1e-5


class SoftDiceLoss(TermLoss):
    """One minus the soft Dice of every structure and volume, averaged:
    ``L = 1 - 1/(B C) sum_b sum_c (2 sum_v p_v g_v + e) / (sum_v p_v + sum_v g_v + e)``, ``p = softmax(x)``.

    The C structures are all classes but the background, over the voxels v of one volume b. ``e`` is 1e-5, so that a structure
    that a volume lacks costs nothing where none of it is predicted, and nearly 1 otherwise. MONAI's `DiceLoss`.

    Args:
        batch: sum over the voxels of the whole batch, of all processes, as if it were one volume (B is 1 above). Slices want
            this: most lack a structure, and by themselves they would hardly push what is predicted there.

    It takes logits ``(B, 1 + C, ...)`` and labels, the numbers of the classes, ``(B, 1, ...)``.
    """

    def __init__(self, batch: bool = False) -> None:
        super().__init__()
        self.batch = batch
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=_E, smooth_dr=_E)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        mean = self._of_batch(prediction, target) if self.batch else self._dice(prediction, target)
        return [Term(mean, len(prediction))]

    def _of_batch(self, prediction: Tensor, target: Tensor) -> Tensor:
        shares = prediction.softmax(dim=1)[:, 1:].flatten(2)
        truth = one_hot(target[:, 0].long().flatten(1), prediction.shape[1]).to(shares).movedim(-1, 1)[:, 1:]
        # (1, 2, structures): MONAI would sum over its own process alone
        sums = torch.stack([2 * (shares * truth).sum((0, 2)), (shares + truth).sum((0, 2))])[None]
        if torch.is_grad_enabled() and idist.get_world_size() > 1:
            sums = gathered(sums)
        shared, held = sums.sum(0)
        return 1 - ((shared + _E) / (held + _E)).mean()
