"""Scores of exemplar networks: whether a transformed sample is nearer than a different one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from planewise.losses import negatives


def triplets_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The input of `ignite.metrics.Accuracy`: whether ``D(z, z+) < D(z, z-)``, and the target of true, both ``(B,)``
    int64.

    Args:
        prediction, target: see `planewise.losses.negatives`.
    """
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)
