"""Scores of exemplar networks: whether a transformed sample lies nearer than a different one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from planewise.losses import negatives


def triplets_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What `ignite.metrics.Accuracy` takes: whether ``D(z, z+) < D(z, z-)``, and that it ought to be, both ``(B,)`` int64.

    Args:
        prediction, target: as `planewise.losses.negatives` takes them.
    """
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)
