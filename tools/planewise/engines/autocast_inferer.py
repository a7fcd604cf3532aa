"""Mixed precision for MONAI's engines if no gradient scaler is needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

from planewise.engines.precision import precision
from planewise.engines.thin_volumes import ExactThinVolumes


class AutocastInferer(SimpleInferer):
    """Run the network in bfloat16 if `precision` chooses it. Its output is float32 in every precision, so that losses
    and metrics are too.

    MONAI's engines autocast only for CUDA and add a gradient scaler, whose step waits for the device; bfloat16 has
    float32's range and needs none. In float32, and in float16, which is left to the engine, this is `SimpleInferer`.

    A network on volumes that trains on a CPU computes its thinnest layers in float32 (`ExactThinVolumes`).

    Args:
        amp: see `precision`.
    """

    def __init__(self, amp: bool | str | None = False) -> None:
        super().__init__()
        self.amp = amp

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if precision(self.amp, inputs.device) != "bfloat16":
            return network(inputs, *args, **kwargs).float()
        trains_volumes = inputs.ndim == 5 and inputs.device.type == "cpu" and torch.is_grad_enabled()
        exact = ExactThinVolumes() if trains_volumes else nullcontext()
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16), exact:
            output = network(inputs, *args, **kwargs)
        return output.float()
