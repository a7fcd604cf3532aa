"""Run an optimiser's step in one kernel."""

from __future__ import annotations

import torch

#: Kinds of device on which a fused step is faster; on a CPU it would round differently and save no launches.
KINDS = ("cuda",)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser use its fused step, if it has one, for weights on a GPU, and its usual step for other weights.

    Adam's usual step runs a dozen kernels for each list of weights, and a GPU waits for them if the network's step is
    short. Call it before the first step and after a checkpoint is loaded: the checkpoint may come from another kind of
    device, and step counts are on the weights' device only if the step is fused.

    Args:
        optimizer: unchanged if its groups have no ``fused`` (PyTorch's Adam, AdamW, SGD and Adagrad have it).
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
