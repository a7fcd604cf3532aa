"""Inference of a network for single images on several views of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from einops import rearrange
from torch import Tensor

from planewise.engines.autocast_inferer import AutocastInferer


class ViewsInferer(AutocastInferer):
    """Run a network from ``(N, 1, H, W)`` to ``(N, D)`` on views that are channels ``(B, V, H, W)``; returns ``(B, V, D)``.

    Args:
        amp: see `precision`.
    """

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        embedded = super().__call__(rearrange(inputs, "b v h w -> (b v) 1 h w"), network, *args, **kwargs)
        return rearrange(embedded, "(b v) d -> b v d", b=len(inputs))
