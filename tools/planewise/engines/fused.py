"""An optimiser's step in one kernel."""

from __future__ import annotations

import torch

#: Kinds of device on which a fused step is faster; a processor's would round differently, and save no launches.
KINDS = ("cuda",)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser that has a fused step use it for weights on a GPU, and its usual one for the others.

    Adam's usual step is a dozen kernels for each list of weights, which a GPU waits for where the network's step is short.
    Call it before the first step and after a checkpoint is loaded: the checkpoint may be from another kind of device, and
    counts of steps lie where the weights do only if the step is fused.

    Args:
        optimizer: left as it is if its groups have no ``fused`` (PyTorch's Adam, AdamW, SGD and Adagrad have it).
    """
    for group in optimizer.param_groups:
        if "fused" not in group:
            continue
        weights = group["params"]
        fused = bool(weights) and all(each.device.type in KINDS and each.is_floating_point() for each in weights)
        group["fused"] = True if fused else None
        for each in weights:
            state = optimizer.state.get(each, {})
            if "step" in state:
                state["step"] = torch.as_tensor(state["step"]).to(each.device if fused else "cpu")
