"""Distance of breath-hold shifts from the true ones."""

from __future__ import annotations

import torch
from torch import Tensor


def breath_hold_errors(shifts: Tensor, true: Tensor) -> Tensor:
    """Distance of each image of an exam from its true position relative to the others.

    Args:
        shifts: ``(N, 3)``, mm; zeros for an uncorrected exam.
        true: ``(N, 3)``, mm.

    Returns:
        ``(N,)``, mm, after the exam is moved as a whole by the mean of the differences: a translation of all images
        changes no line, so it cannot be detected.
    """
    apart = torch.as_tensor(shifts, dtype=torch.float64) - torch.as_tensor(true, dtype=torch.float64)
    return (apart - apart.mean(dim=0)).norm(dim=-1)
