"""A network on its device, in the form that is fastest there."""

from __future__ import annotations

import logging

import torch
from torch import nn

from planewise.errors import InputError
from planewise.switches import switched_on

logger = logging.getLogger(__name__)

#: Weights of convolutions, by their dimensions, to the form that has their channels innermost.
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def place_network(
    network: nn.Module, device: str | torch.device, channels_last: bool | str = True, compiled: bool | str = False
) -> nn.Module:
    """Move a network to a device, and say how it is to be run there.

    Args:
        network: changed in place; the names of its weights stay.
        device: the device to move it to.
        channels_last: keep the weights of convolutions with the channels innermost, which makes PyTorch compute that way.
            A network with convolutions in both 2D and 3D stays as it is, and one in 3D does elsewhere than on a CPU.
        compiled: run it through ``torch.compile``.

    Raises:
        InputError: ``compiled`` was asked for, and torch.compile does not work on this machine.

    The defaults are measured on a CPU (``tools/benchmarks/run --only network_step``, tools/docs/speed.md): channels
    last are faster for the demos' networks, of images and of volumes, and about as fast for the papers'; compiled, the first
    step takes most of a minute and those after it longer than before. On CUDA they are reasoned: its bfloat16 convolutions
    want channels last, and compiling, which costs every run a minute, is for the long ones to try.
    """
    # PyTorch refuses either format for weights of the other number of dimensions
    dims = {values.ndim for values in (*network.parameters(), *network.buffers())} & FORMATS.keys()
    innermost = switched_on(channels_last, "channels_last") and len(dims) == 1
    # of pooling and instance normalisation in 3D, CUDA knows the other form alone, and would turn to and fro
    innermost &= dims == {4} or torch.device(device).type == "cpu"
    network = network.to(device, memory_format=FORMATS[dims.pop()] if innermost else torch.preserve_format)
    if switched_on(compiled, "compile"):
        _check_compiler(device)
        _compiled_part(network).compile()
    return network


def _compiled_part(network: nn.Module) -> nn.Module:
    """All of it, but for a network with MONAI's padding (`AlexNetDecoder`): its encoder."""
    # torch 2.13 compiles the gradient of replicated padding wrongly and stops at the first step
    if not any(getattr(module, "is_pad", False) for module in network.modules()):
        return network
    logger.info("only the encoder is compiled: torch cannot compile the decoder's padding")
    return network.encoder


def _check_compiler(device: str | torch.device) -> None:
    """Try it on next to nothing: what is missing (a C++ compiler, Triton, headers) would otherwise show in pages of
    traceback at the first step."""
    try:
        torch.compile(lambda value: value + 1)(torch.zeros(1, device=device))
    except Exception as error:  # of as many kinds as there are things to be missing
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            "--compile needs a C++ compiler (g++) for the CPU, or Triton for CUDA, and torch.compile does not work here "
            f"({reason}); install what is missing, or leave --compile out"
        ) from error
