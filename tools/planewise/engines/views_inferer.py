"""Run a network for single images on several views of each image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from planewise.engines.autocast_inferer import AutocastInferer


class ViewsInferer(AutocastInferer):
    """Run a network for single images on several views of each image.

    Called with views as channels, ``(B, V * C, i, j)`` or, for volumes, ``(B, V * C, i, j, k)``, and a network that maps
    ``(N, C, ...)`` to embeddings ``(N, D)``, it runs all views as one batch and returns ``(B, V, D)``.

    Args:
        amp: see `precision`.
        channels: C, the number of channels of one view.
    """

    def __init__(self, amp: bool | str | None = False, channels: int = 1) -> None:
        super().__init__(amp)
        self.channels = int(channels)

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        views = inputs.unflatten(1, (-1, self.channels)).flatten(0, 1)
        embedded = super().__call__(views, network, *args, **kwargs)
        return embedded.unflatten(0, (len(inputs), -1))
