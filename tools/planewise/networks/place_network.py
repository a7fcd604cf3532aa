"""A network on its device, in the form that is fastest there."""

from __future__ import annotations

import torch
from torch import nn


def place_network(
    network: nn.Module, device: str | torch.device, channels_last: bool = True, compiled: bool = False
) -> nn.Module:
    """Move a network to a device, and say how it is to be run there.

    Args:
        network: changed in place; the names of its weights stay.
        device: to be on.
        channels_last: keep the weights of 2D convolutions with the channels innermost, which makes PyTorch compute that
            way.
        compiled: run it through ``torch.compile``, which takes minutes at the first step.
    """
    network = network.to(device, memory_format=torch.channels_last if channels_last else torch.preserve_format)
    if compiled:
        network.compile()
    return network
