"""Mixed precision where MONAI's engines do not offer it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor


class AutocastInferer(SimpleInferer):
    """Run the network in bfloat16 on the CPU; its output is float32 again.

    MONAI's engines autocast for CUDA only (their ``amp``, with a scaler); bfloat16 has float32's range and needs none.
    On any other device than the CPU this is `SimpleInferer`.

    Args:
        amp: whether to use it.
    """

    def __init__(self, amp: bool = False) -> None:
        super().__init__()
        self.amp = amp

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        if not self.amp or inputs.device.type != "cpu":
            return network(inputs, *args, **kwargs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(inputs, *args, **kwargs)
        return output.float()
