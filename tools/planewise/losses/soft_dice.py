"""Loss of fine-tuning on segmentation of volumes, Taleb 2020."""

from __future__ import annotations

from monai.losses import DiceLoss
from torch import Tensor

from planewise.losses.terms import Term, TermLoss


class SoftDiceLoss(TermLoss):
    """One minus the soft Dice of every structure and volume, averaged:
    ``L = 1 - 1/(B C) sum_b sum_c (2 sum_v p_v g_v + e) / (sum_v p_v + sum_v g_v + e)``, ``p = softmax(x)``.

    The C structures are all classes but the background, over the voxels v of one volume b. ``e`` is 1e-5, so that a structure
    that a volume lacks costs nothing where none of it is predicted, and nearly 1 otherwise. MONAI's `DiceLoss`.

    It takes logits ``(B, 1 + C, ...)`` and labels, the numbers of the classes, ``(B, 1, ...)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        return [Term(self._dice(prediction, target), len(prediction))]
