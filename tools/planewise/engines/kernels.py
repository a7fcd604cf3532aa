"""Launch fewer kernels on a GPU: fused steps of the optimiser, and CUDA graphs of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from planewise.errors import InputError

#: Types of device on which these help. On a CPU, a fused step would round differently, and there are no launches to save.
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


class GraphedNetwork:
    """Run a network in training. Its forward pass and its backward pass are each launched as one graph instead of kernel by
    kernel.

    The first call records the graphs with PyTorch's ``make_graphed_callables``, and then restores the network's buffers and
    the states of the random number generators. If layers are frozen or set to evaluation later, the graphs are recorded
    again. The network runs without graphs if the images have another shape than the first ones; if weights have gradients,
    which a graph would overwrite; or if the gradient of the previous call has not been computed yet.
    """

    def __init__(self) -> None:
        self._replay: Callable[[Tensor], Any] | None = None
        self._input: tuple[torch.Size, torch.dtype] | None = None
        self._state: tuple[list[bool], list[bool]] | None = None
        self._waits = False

    def __call__(self, network: nn.Module, image: Tensor) -> Any:
        """The network's output.

        Args:
            network: the network, the same in all calls.
            image: its input, in the device's memory.

        Raises:
            InputError: the network cannot be recorded.
        """
        weights = list(network.parameters())
        trains = torch.is_grad_enabled() and network.training and any(weight.requires_grad for weight in weights)
        own = (image.shape, image.dtype)
        fits = self._input in (None, own) and not self._waits and all(weight.grad is None for weight in weights)
        if not (trains and fits and image.device.type in KINDS):
            return network(image)
        state = [weight.requires_grad for weight in weights], [module.training for module in network.modules()]
        if self._replay is None or state != self._state:
            self._replay = None  # frees its memory
            self._replay = _recorded(network, image)
            self._input, self._state = own, state
        output = self._replay(image)
        self._waits = True
        next(each for each in tree_leaves(output) if each.requires_grad).register_hook(self._done)
        return output

    def _done(self, _gradient: Tensor) -> None:
        self._waits = False


class _Whole(nn.Module):
    """Wrap a network, because recording replaces the ``forward`` of the module that it gets."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Any:
        return self.network(image)


def _recorded(network: nn.Module, image: Tensor) -> Callable[[Tensor], Any]:
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        with torch.random.fork_rng([image.device] if image.is_cuda else []):
            replay = torch.cuda.make_graphed_callables(_Whole(network), (image.clone(),), allow_unused_input=True)
    except RuntimeError as error:
        raise InputError(
            f"--compile cuda_graphs cannot record this network ({str(error).splitlines()[0]}); leave --compile out"
        ) from error
    with torch.no_grad():
        for buffer, values in zip(network.buffers(), before, strict=True):
            buffer.copy_(values)
    return replay
