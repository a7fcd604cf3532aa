"""Scores of exemplar networks: how often the transformed sample is nearer than a different sample."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from planewise.losses import negatives


def triplet_accuracy(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compare the distances of each triplet, for `ignite.metrics.Accuracy`.

    Args:
        prediction, target: see `planewise.losses.negatives`.

    Returns:
        Two tensors ``(B,)``, int64. The first is 1 if the transformed sample is nearer, ``D(z, z+) < D(z, z-)``, and
        otherwise 0; the second, the target, is always 1.
    """
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)
