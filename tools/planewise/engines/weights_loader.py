"""Load a network's weights before a run."""

from __future__ import annotations

from typing import Any

from monai.handlers import CheckpointLoader
from torch import nn

from planewise.networks import weights_path


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for a network alone, wherever the weights are and whatever device trained them.

    Args:
        network: its weights are replaced when the run starts.
        weights: a checkpoint, a bundle's folder or zip (`planewise.networks.weights_path`).
        arguments: further ones of `CheckpointLoader`.

    Raises:
        InputError: there are no such weights, or they are of another network.
    """

    def __init__(self, network: nn.Module, weights: str, **arguments: Any) -> None:
        # the network's own device does not matter: weights trained on a GPU load without one
        super().__init__(
            str(weights_path(weights, network)), {"model": network}, **{"map_location": "cpu", **arguments}
        )
