"""Load a network's weights before a run."""

from __future__ import annotations

from typing import Any

from monai.handlers import CheckpointLoader
from torch import nn

from planewise.networks import weights_path


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for one network; the weights may be in a file, folder or zip, and trained on any device.

    Args:
        network: its weights are replaced when the run starts.
        weights: a checkpoint, a bundle's folder or zip (`planewise.networks.weights_path`).
        arguments: further arguments of `CheckpointLoader`.

    Raises:
        InputError: there are no such weights, or they belong to another network.
    """

    def __init__(self, network: nn.Module, weights: str, **arguments: Any) -> None:
        # load to the CPU, so that weights saved on a GPU also load on machines without one
        super().__init__(
            str(weights_path(weights, network)), {"model": network}, **{"map_location": "cpu", **arguments}
        )
