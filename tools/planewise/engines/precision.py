"""Choose the numeric precision of a network on each device, and work around wrong gradients in one of them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from planewise.errors import InputError
from planewise.parse_bool import parse_bool

Precision = Literal["float32", "bfloat16", "float16"]


def precision(amp: bool | str | None, device: str | torch.device) -> Precision:
    """Choose the floating-point format of a training step from the setting ``amp`` and the device.

    The choice of ``"auto"`` on a CPU rests on measurements (``tools/benchmarks/run --only network_step``,
    tools/docs/speed.md): with AVX-512 BF16 and channels last, a step takes about half the time of float32. On CUDA, the
    choice follows from the hardware and was not measured: bfloat16 is as fast as float16, twice as fast as TF32, and
    needs no gradient scaler, whose step would wait for the device.

    Args:
        amp: one of these values; text may be in upper or lower case:

            - ``"auto"``: bfloat16 if the device has instructions for it, otherwise float32 (on a GPU, float16);
            - true: mixed precision, with or without such instructions;
            - false: float32;
            - the name of a precision.
        device: the device of the network.

    Returns:
        The format. Float16 needs a gradient scaler, which MONAI's engines have (their ``amp``). Bfloat16 needs none,
        because it has the range of float32 (`AutocastInferer`). Weights, losses and metrics are always float32.

    Raises:
        InputError: ``amp`` is not one of these, or float16 is requested on a device other than CUDA.
    """
    kind = torch.device(device).type
    word = str(amp).strip().lower()
    if word in ("float32", "bfloat16", "float16"):
        if word == "float16" and kind != "cuda":
            raise InputError(f"float16 needs a CUDA device, got {device}; set --amp bfloat16 or --amp auto")
        return word
    if word != "auto":
        try:
            on = parse_bool(amp, "amp")
        except InputError as error:
            raise InputError(f"amp must be auto, true, false, float32, bfloat16 or float16, got {amp!r}") from error
        if not on:
            return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if word != "auto" or (kind == "cpu" and _processor_has_bfloat16()):
        return "bfloat16"
    return "float32"


def allow_tf32(allowed: bool | str) -> None:
    """Allow float32 products on CUDA to round their factors to TF32 (10-bit mantissa), which is several times as fast.

    Other devices are not affected.

    Args:
        allowed: whether to allow it, as a Boolean or as text (`parse_bool`).
    """
    torch.backends.cuda.matmul.allow_tf32 = parse_bool(allowed, "tf32")
    torch.backends.cudnn.allow_tf32 = parse_bool(allowed, "tf32")


def _processor_has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16: AVX-512 BF16 or AMX."""
    # torch 2.4 has neither function, so a processor counts as one without
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


class ExactThinVolumes(TorchFunctionMode):
    """On a CPU, use float32 for convolutions of volumes that are thinner than the kernel.

    In torch 2.13 (oneDNN), the bfloat16 weight gradient of such a convolution is wrong on CPUs with AVX-512 BF16. The
    code reads memory outside its arrays, so the gradient may be NaN, or finite but wrong, or the process may crash. This
    happens if the kernel is longer than the volume's first axis, as on the deepest level of an encoder whose grid has
    shrunk to 2 x 2 x 2. Such layers are small, so float32 costs next to nothing. All other functions are unchanged.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16), ExactThinVolumes():
    ...     output = network(volumes)
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and args[0].shape[2] < args[1].shape[2]:
            with torch.autocast("cpu", enabled=False):
                image, *weights = (value.float() if isinstance(value, torch.Tensor) else value for value in args)
                return function(image, *weights, **kwargs)
        return function(*args, **kwargs)
