"""Compute features of slices with a frozen network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from planewise.data import SliceDataset
from planewise.networks import encoder_features


def frozen_features(
    network: nn.Module, dataset: SliceDataset, rows: Sequence[int], inferer: Callable[..., Tensor], batch_size: int = 64
) -> Tensor:
    """The features of some preprocessed slices (`encoder_features`).

    Args:
        network: network with an ``encoder``; afterwards, it is in the same mode (training or evaluation) as before.
        dataset: the slices.
        rows: indices of the slices in the dataset.
        inferer: runs the network, such as `planewise.engines.AutocastInferer`.
        batch_size: number of slices per call of the network.

    Returns:
        ``(N, D)``, float32, on the CPU.
    """
    training = network.training
    device = next(network.parameters()).device
    found = []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            image = dataset.__getitems__(rows[start : start + batch_size])["image"].to(device)
            found.append(inferer(image, lambda image: encoder_features(network, image)).cpu())
    network.train(training)
    return torch.cat(found)
