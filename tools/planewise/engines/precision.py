"""In which numbers a network computes, on which device."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]


def precision(amp: bool | str | None, device: str | torch.device) -> Precision:
    """The numbers that a training step multiplies, by the setting ``amp`` and what the device computes natively.

    Args:
        amp: ``"auto"`` is bfloat16 where the device has instructions for it and float32 elsewhere (on a GPU without
            them float16); True is mixed precision whether they are there or not; False is float32; the name of a
            precision is that one.
        device: that the network is on.

    Returns:
        ``"float16"`` needs a gradient scaler, which MONAI's engines bring (their ``amp``); bfloat16 has float32's range
        and needs none (`AutocastInferer`).
    """
    kind = torch.device(device).type
    if amp in ("float32", "bfloat16", "float16"):
        if amp == "float16" and kind != "cuda":
            raise ValueError(f"float16 needs a CUDA device, not {device}; give --amp bfloat16, or auto")
        return amp
    if amp not in ("auto", True, False, None):
        raise ValueError(f"amp is auto, true, false, float32, bfloat16 or float16, not {amp!r}")
    if not amp:
        return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if amp is True or (kind == "cpu" and _processor_has_bfloat16()):
        return "bfloat16"
    return "float32"


def allow_tf32(allowed: bool) -> None:
    """Let float32 products on CUDA round their factors to TF32's ten bits, several times as fast; elsewhere no change."""
    torch.backends.cuda.matmul.allow_tf32 = bool(allowed)
    torch.backends.cudnn.allow_tf32 = bool(allowed)


def _processor_has_bfloat16() -> bool:
    """Instructions for it: AVX-512 BF16 or AMX."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
