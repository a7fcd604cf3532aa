"""Mixed precision for MONAI's engines without a gradient scaler."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

from planewise.engines.graphed import GraphedNetwork
from planewise.engines.precision import precision
from planewise.engines.thin_volumes import ExactThinVolumes


class AutocastInferer(SimpleInferer):
    """Run the network in bfloat16 if `precision` selects it. The output is always float32, so losses and metrics are
    computed in float32, too.

    MONAI's engines autocast only for CUDA, and they add a gradient scaler, whose step waits for the device. A scaler is
    not needed for bfloat16, which has the range of float32. For float32, and for float16, which MONAI's engine handles,
    this class behaves like `SimpleInferer`.

    When a network for volumes trains on a CPU, its thinnest layers are computed in float32 (`ExactThinVolumes`). A network
    that `planewise.networks.place_network` marked is replayed from a CUDA graph in training (`GraphedNetwork`).

    Args:
        amp: see `precision`.
    """

    def __init__(self, amp: bool | str | None = False) -> None:
        super().__init__()
        self.amp = amp
        self._graphed = GraphedNetwork()

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        graphs = getattr(network, "cuda_graphs", False) and not (args or kwargs)
        if graphs:
            network = partial(self._graphed, network)
        if precision(self.amp, inputs.device) != "bfloat16":
            return network(inputs, *args, **kwargs).float()
        trains_volumes = inputs.ndim == 5 and inputs.device.type == "cpu" and torch.is_grad_enabled()
        exact = ExactThinVolumes() if trains_volumes else nullcontext()
        # a graph must convert the weights in every step, so the converted ones are not kept
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, cache_enabled=not graphs), exact:
            output = network(inputs, *args, **kwargs)
        return output.float()
