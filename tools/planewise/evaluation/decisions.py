"""The decisive slices and places of an exam for a finding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from planewise.networks.saliency import saliency_maps
from planewise.reports.findings_figures import Decision


def decision(
    network: nn.Module, stack: torch.Tensor, finding: int, caption: str, numbers: Sequence[int] | None = None
) -> Decision:
    """The decisive slices and places of a stack for a finding.

    Args:
        network: `planewise.networks.StackClassifier`, on any device.
        stack: the preprocessed stack, ``(i, j, S)``.
        finding: index of the network's output.
        caption: caption of the picture.
        numbers: numbers of the slices to display; 1 to S by default.
    """
    device = next(network.parameters()).device
    maps = saliency_maps(network, stack[None].to(device), finding)
    return Decision(caption, stack.cpu().numpy(), maps.cpu().numpy(), numbers)
