"""Run a network for slices on whole volumes."""

from __future__ import annotations

from planewise.engines.window_inferer import WindowInferer


class SliceBatchInferer(WindowInferer):
    """Run a network for slices on volumes: the slices of the volumes form the network's batch.

    This is like MONAI's `SliceInferer`, but without windows, for networks that take whole slices. A batch may contain
    slices of several volumes.

    Called with volumes ``(B, C, i, j, k)`` and a network that maps ``(N, C, i, j)`` to ``(N, D, i, j)``, it returns
    ``(B, D, i, j, k)`` with the metadata of the volumes.

    Args:
        batch_size: number of slices per call of the network.
        amp: see `precision`; MONAI's engine handles float16.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False) -> None:
        super().__init__(None, batch_size, amp, spatial_dims=2)
