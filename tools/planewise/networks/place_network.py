"""Move a network to its device, and choose the memory format and compilation that are fastest there."""

from __future__ import annotations

import logging

import torch
from torch import nn

from planewise.errors import InputError
from planewise.parse_bool import parse_bool

logger = logging.getLogger(__name__)

#: Maps the number of dimensions of a convolution's weights to the memory format in which channels come last.
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

#: Layers that, on CUDA, convert volumes to the default format and back. With instance normalisation, a step on brain
#: tumours of 96^3 took 104 ms on an H100 with channels last, and 72 ms without.
_FIRST = (nn.InstanceNorm3d, nn.GroupNorm, nn.MaxPool3d, nn.AvgPool3d)


def place_network(
    network: nn.Module, device: str | torch.device, channels_last: bool | str = True, compiled: bool | str = False
) -> nn.Module:
    """Move a network to a device, and set how it runs there.

    The defaults come from measurements (``tools/benchmarks/run --only network_step,steps``, tools/docs/speed.md). On a
    CPU, channels last is faster for the networks of the demos and about as fast for the networks of the papers; on an
    H100, it shortens a step of the multitask U-Net from 40.9 to 24.4 ms, and one on brain tumours from 263.4 to 107.6.
    Compilation takes up to a minute at the first step. On a CPU, it makes later steps slower; on an H100, it shortens
    those of the U-Net from 24.4 to 17.8 ms.

    Args:
        network: the network. It is changed in place; the names of its weights stay the same.
        device: the device to which it is moved.
        channels_last: whether to store the weights of convolutions with the channels last, so that PyTorch computes in
            this format. This does not apply to a network with both 2D and 3D convolutions. On a device other than a CPU, it
            does not apply to a 3D network with a layer for which PyTorch needs the default format there (`_FIRST`).
        compiled: whether to compile the network with ``torch.compile``; or ``cuda_graphs``, so that
            `planewise.engines.AutocastInferer` replays CUDA graphs of it in training.

    Raises:
        InputError: ``compiled`` is ``cuda_graphs``, but the device is not an NVIDIA GPU.
    """
    # PyTorch refuses a format for weights with another number of dimensions
    dims = {values.ndim for values in (*network.parameters(), *network.buffers())} & FORMATS.keys()
    innermost = parse_bool(channels_last, "channels_last") and len(dims) == 1
    if torch.device(device).type == "cpu":
        innermost &= not _corrupts_memory(network)
    elif dims == {5}:
        innermost &= not any(isinstance(module, _FIRST) for module in network.modules())
    network = network.to(device, memory_format=FORMATS[dims.pop()] if innermost else torch.preserve_format)
    if compiled == "cuda_graphs":
        if torch.device(device).type != "cuda":
            raise InputError(
                f"--compile cuda_graphs needs an NVIDIA GPU, but the device is {device}; leave --compile out"
            )
        network.cuda_graphs = True
    elif parse_bool(compiled, "compile (if not cuda_graphs)"):
        _compiled_part(network).compile()
    return network


def _corrupts_memory(network: nn.Module) -> bool:
    """Whether torch 2.13 may write outside its memory if the channels come last.

    This happens on CPUs without AVX-512, in the gradient of a strided 1 x 1 convolution with fewer than 8 input channels.
    """
    narrow = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(set(each.kernel_size) == {1} and max(each.stride) > 1 and each.in_channels < 8 for each in narrow)


def _compiled_part(network: nn.Module) -> nn.Module:
    """The part to compile: the whole network, or only the encoder if another part has MONAI's padding (`AlexNetDecoder`)."""
    # torch 2.13 compiles the gradient of replicated padding wrongly, so training would stop at the first step
    if not any(getattr(module, "is_pad", False) for module in network.modules()):
        return network
    logger.info("only the encoder is compiled, because torch cannot compile the decoder's padding")
    return network.encoder
