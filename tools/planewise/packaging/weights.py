"""Weights as they stand in a packaged bundle: a plain state dict on the CPU that fits the network to the last tensor."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from planewise.errors import InputError

#: Date of every zip entry: the earliest that the format knows, so that the same content gives the same file.
STAMP = (1980, 1, 1, 0, 0, 0)


def check_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, where: str) -> None:
    """See that weights fit a network exactly.

    Args:
        weights: name to tensor.
        network: the network that they are for.
        where: they come from, for the message.

    Raises:
        InputError: a tensor is missing, is not the network's, has another shape or type, or is not finite.
    """
    own = network.state_dict()
    problems = []
    for text, names in (
        ("lack", [name for name in own if name not in weights]),
        ("have, and the network has not,", [name for name in weights if name not in own]),
    ):
        if names:
            problems.append(
                f"they {text} {len(names)} tensors ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            )
    for name, value in weights.items():
        if name not in own:
            continue
        if value.shape != own[name].shape:
            problems.append(f"{name} is {tuple(value.shape)} there and {tuple(own[name].shape)} in the network")
        elif value.dtype != own[name].dtype:
            problems.append(f"{name} is {value.dtype} there and {own[name].dtype} in the network")
        elif value.is_floating_point() and not value.isfinite().all():
            problems.append(f"{name} is not finite: the training diverged")
    if problems:
        more = f"; and {len(problems) - 3} more like it" if len(problems) > 3 else ""
        raise InputError(f"{where} does not fit network_def: {'; '.join(problems[:3])}{more}")


def save_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, path: Path) -> None:
    """Write weights in the order of the network's own, each with a memory of its own: the same weights, the same bytes."""
    plain = {
        name: weights[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in network.state_dict()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(plain, path)


def strip_script(path: Path) -> None:
    """Take out of a TorchScript file what depends on where it was made: the paths of its sources (which PyTorch needs for
    messages alone), the number that is computed from them, and the entries' dates."""
    with zipfile.ZipFile(path) as archive:
        kept = [name for name in archive.namelist() if not name.endswith((".debug_pkl", ".data/serialization_id"))]
        entries = {name: archive.read(name) for name in kept}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, STAMP), content)
