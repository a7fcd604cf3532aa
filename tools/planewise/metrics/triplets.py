"""Scores of exemplar networks: whether a transformed sample is nearer than a different one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from planewise.losses import negatives


def triplet_accuracy(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Triplet accuracy, as the input of `ignite.metrics.Accuracy`: whether ``D(z, z+) < D(z, z-)``, and the target.

    Returns:
        Two tensors ``(B,)``, int64: 1 where the transformed sample is nearer, otherwise 0; and ones as the target.

    Args:
        prediction, target: see `planewise.losses.negatives`.
    """
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)
