"""Loss of fine-tuning on segmentation, Zhang 2024 sections 4.4 and 5.3."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss


class SegmentationLoss(TermLoss):
    """Cross-entropy plus an L1 penalty on the weights of the convolutions.

    The penalty is part of the loss, not of the optimiser; at the paper's width it starts far above the cross-entropy,
    so the two are logged apart. Biases and normalisation are not penalised. Outside training it is left out.

    Args:
        network: whose convolutions are penalised.
        l1: factor of the sum of absolute weights (the paper's 5e-5); 0 switches it off.

    It takes logits ``(B, classes, H, W)`` and labels ``(B, 1, H, W)``, or both of volumes ``(..., D)``. Its terms are
    ``cross_entropy`` and ``l1`` in the log, the penalty with its factor.
    """

    def __init__(self, network: nn.Module, l1: float = 5e-5) -> None:
        super().__init__()
        convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        # a plain list: as a submodule the network would appear in this module's parameters
        self._weights = [module.weight for module in network.modules() if isinstance(module, convolutions)]
        self.l1 = float(l1)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        if target.shape[1] != 1:
            raise ValueError(f"the label has shape {tuple(target.shape)}; one channel of class numbers is wanted")
        label = target[:, 0].long()
        entropy = Term(cross_entropy(prediction, label), label.numel(), name="cross_entropy")
        if not self.l1 or not torch.is_grad_enabled():
            return [entropy]
        penalty = self.l1 * torch.stack([weight.abs().sum() for weight in self._weights if weight.requires_grad]).sum()
        return [entropy, Term(penalty, 1, name="l1")]
