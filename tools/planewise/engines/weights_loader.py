"""Load a network's weights before a run."""

from __future__ import annotations

from typing import Any

from monai.handlers import CheckpointLoader
from torch import nn

from planewise.networks import weights_path


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for one network, with weights from a file, folder or zip that were trained on any device.

    Args:
        network: the network, whose weights are replaced when the run starts.
        weights: a checkpoint, or the folder or zip of a bundle (`planewise.networks.weights_path`).
        arguments: further arguments of `CheckpointLoader`.

    Raises:
        InputError: there are no such weights, or they belong to another network.
    """

    def __init__(self, network: nn.Module, weights: str, **arguments: Any) -> None:
        # load to the CPU, so that weights saved on a GPU also load on machines without one
        super().__init__(
            str(weights_path(weights, network)), {"model": network}, **{"map_location": "cpu", **arguments}
        )
