"""How a network computes on each device: its precision, fused steps of the optimiser, and CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from planewise.errors import InputError
from planewise.parse_bool import parse_bool

Precision = Literal["float32", "bfloat16", "float16"]

#: Types of device on which fused steps and graphs help. On a CPU, a fused step would round differently, and there are no
#: launches to save.
KINDS = ("cuda",)


def precision(amp: bool | str | None, device: str | torch.device) -> Precision:
    """Choose the floating-point format of a training step from the setting ``amp`` and the device.

    Float16 needs a gradient scaler, which MONAI's engines have (their ``amp``), but whose step waits for the device. Bfloat16
    is as fast, and needs none. Weights, losses and metrics are always float32. (Measurements: tools/docs/speed.md.)

    Args:
        amp: ``"auto"`` (bfloat16 if the device has instructions for it, else float32; on a GPU, float16), true (mixed
            precision, with or without such instructions), false (float32), or the name of a precision.
        device: the device of the network.

    Raises:
        InputError: ``amp`` is not one of these, or float16 is requested on a device other than CUDA.
    """
    kind, word = torch.device(device).type, str(amp).strip().lower()
    if word in ("float32", "bfloat16", "float16"):
        if word == "float16" and kind != "cuda":
            raise InputError(f"float16 needs a CUDA device, got {device}; set --amp bfloat16 or --amp auto")
        return word
    if word != "auto" and not parse_bool(amp, "amp (if not auto, float32, bfloat16 or float16)"):
        return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    # torch 2.4 has neither function, so a processor counts as one without AVX-512 BF16 and AMX
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)
    return "bfloat16" if word != "auto" or native else "float32"


def allow_tf32(allowed: bool | str | None) -> None:
    """Allow float32 products on CUDA to round their factors to TF32 (10-bit mantissa), which is several times as fast. None
    keeps PyTorch's setting."""
    if allowed is None:
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = parse_bool(allowed, "tf32")


class ExactThinVolumes(TorchFunctionMode):
    """On a CPU, use float32 for convolutions of volumes that are thinner than the kernel.

    In torch 2.13 (oneDNN), the bfloat16 weight gradient of such a convolution reads memory outside its arrays on CPUs with
    AVX-512 BF16: it may be NaN, or finite but wrong, or the process may crash. Such layers, on the deepest level of an
    encoder whose grid has shrunk to 2 x 2 x 2, are small, so float32 costs next to nothing.
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and args[0].shape[2] < args[1].shape[2]:
            with torch.autocast("cpu", enabled=False):
                image, *weights = (value.float() if isinstance(value, torch.Tensor) else value for value in args)
                return function(image, *weights, **kwargs)
        return function(*args, **kwargs)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Make an optimiser use its fused step, if it has one, for weights on a GPU: the usual step of Adam runs a dozen kernels,
    and a GPU may wait for their launches.

    Call this function before the first step, but after a checkpoint is loaded, which may come from another type of device: a
    fused step needs its step counts on the device of the weights, the usual step on the CPU.
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
    """Run a network in training, with its forward and its backward pass each launched as one graph, not kernel by kernel.

    The first call records the graphs with PyTorch's ``make_graphed_callables``; if layers are frozen or set to evaluation
    later, they are recorded again. The network runs without graphs if the images have another shape than the first ones; if
    weights have gradients, which a graph would overwrite; or if the gradient of the previous call has not been computed yet.
    """

    def __init__(self) -> None:
        self._replay: Callable[[Tensor], Any] | None = None
        self._input: tuple[torch.Size, torch.dtype] | None = None
        self._state: tuple[list[bool], list[bool]] | None = None
        self._waits = False

    def __call__(self, network: nn.Module, image: Tensor) -> Any:
        """The output for an image in the device's memory, of a network that is the same in all calls.

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


def _recorded(network: nn.Module, image: Tensor) -> Callable[[Tensor], Any]:
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        with torch.random.fork_rng([image.device] if image.is_cuda else []):
            # recording replaces the ``forward`` of the module that it gets
            whole = nn.Sequential(network)
            replay = torch.cuda.make_graphed_callables(whole, (image.clone(),), allow_unused_input=True)
    except RuntimeError as error:
        raise InputError(
            f"--compile cuda_graphs cannot record this network ({str(error).splitlines()[0]}); leave --compile out"
        ) from error
    with torch.no_grad():
        for buffer, values in zip(network.buffers(), before, strict=True):
            buffer.copy_(values)
    return replay
