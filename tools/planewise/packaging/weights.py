"""Write weights for a packaged bundle: a plain state dict on the CPU that fits every tensor of the network."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from planewise.errors import InputError
from planewise.networks import not_finite

#: Date of every zip entry: the earliest that the format allows, so that the same content gives the same file.
STAMP = (1980, 1, 1, 0, 0, 0)


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
    problems = []
    for text, names in (
        ("the weights lack {} tensors of the network", [name for name in own if name not in weights]),
        ("the network has no place for {} tensors of the weights", [name for name in weights if name not in own]),
    ):
        if names:
            problems.append(f"{text.format(len(names))} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    for name, value in weights.items():
        if name not in own:
            continue
        if value.shape != own[name].shape:
            problems.append(f"{name} has shape {tuple(value.shape)}, but the network's has {tuple(own[name].shape)}")
        elif value.dtype != own[name].dtype:
            problems.append(f"{name} has type {value.dtype}, but the network's has {own[name].dtype}")
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


def strip_script(path: Path) -> None:
    """Remove everything from a TorchScript file that depends on where and when it was made: the paths of its sources
    (PyTorch needs them only for messages), the identifier that is computed from these paths, and the entries' dates."""
    with zipfile.ZipFile(path) as archive:
        kept = [name for name in archive.namelist() if not name.endswith((".debug_pkl", ".data/serialization_id"))]
        entries = {name: archive.read(name) for name in kept}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, STAMP), content)
