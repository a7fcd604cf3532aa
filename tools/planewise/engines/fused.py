"""Run an optimiser's step in a single kernel."""

from __future__ import annotations

import torch

#: Types of device on which a fused step is faster. On a CPU, it would round differently, and there are no kernel
#: launches to save.
KINDS = ("cuda",)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Make an optimiser use its fused step for weights on a GPU, and its usual step for other weights.

    Adam's usual step runs a dozen kernels for each list of weights, and if the network's step is short, the GPU waits
    for their launches. Call this function before the first step, but after a checkpoint is loaded. The checkpoint may come
    from another type of device: a fused step needs its step counts on the device of the weights, and the usual step needs
    them on the CPU.

    Args:
        optimizer: the optimiser. An optimiser without a fused step stays unchanged (PyTorch's Adam, AdamW, SGD and
            Adagrad have a fused step).
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
