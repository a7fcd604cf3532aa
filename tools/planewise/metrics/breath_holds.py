"""Errors of estimated breath-hold shifts."""

from __future__ import annotations

import torch
from torch import Tensor


def breath_hold_errors(shifts: Tensor, true: Tensor) -> Tensor:
    """Distance of each image of an exam from its true position relative to the other images.

    Args:
        shifts: estimated shifts, ``(N, 3)``, mm; zeros for an uncorrected exam.
        true: true shifts, ``(N, 3)``, mm.

    Returns:
        ``(N,)``, mm. The mean difference is subtracted first: it moves all images of an exam together, so no
        intersection line changes, and it cannot be detected.
    """
    apart = torch.as_tensor(shifts, dtype=torch.float64) - torch.as_tensor(true, dtype=torch.float64)
    return (apart - apart.mean(dim=0)).norm(dim=-1)
