"""Write weights for a packaged bundle: a plain state dict on the CPU that fits every tensor of the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from planewise.errors import InputError
from planewise.networks import not_finite


def check_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, where: str) -> None:
    """Check that weights fit a network exactly.

    Args:
        weights: maps names to tensors.
        network: network for the weights.
        where: source of the weights, for the error message.

    Raises:
        InputError: a tensor is missing, does not belong to the network, has another shape or type, or is not finite.
    """
    own, wrong = network.state_dict(), not_finite(weights)
    problems = [f"{name} is missing" for name in own if name not in weights]
    for name, value in weights.items():
        if name not in own:
            problems.append(f"the network has no {name}")
        elif (value.shape, value.dtype) != (own[name].shape, own[name].dtype):
            had, needed = (f"{each.dtype} {tuple(each.shape)}" for each in (value, own[name]))
            problems.append(f"{name} is {had}, but the network's is {needed}")
        elif name in wrong:
            problems.append(f"{name} is not finite: the training diverged")
    if problems:
        more = f"; and {len(problems) - 3} more problems" if len(problems) > 3 else ""
        raise InputError(f"{where} does not fit network_def: {'; '.join(problems[:3])}{more}")


def save_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, path: Path) -> None:
    """Write weights in the network's order, each tensor with its own memory, so that equal weights give equal bytes."""
    plain = {
        name: weights[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in network.state_dict()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(plain, path)
