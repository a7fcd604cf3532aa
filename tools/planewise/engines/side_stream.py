"""Make batches on a stream of their own, so that a GPU makes a batch while it runs the previous step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch
from torch import Tensor

#: Types of device that have streams.
KINDS = ("cuda",)


class SideStream(PrepareBatch):
    """Make batches on a side stream of a GPU: their rows, copies, augmentation and targets.

    The host enqueues the same work in the same order as without this class, only on two streams. It is ahead of the GPU,
    so it enqueues batch k + 1 while step k runs, and both run at the same time. Random numbers stay equal, because the
    generator of a GPU counts its draws on the host.

    Batch k + 1 waits until step k begins, and step k + 1 waits for its batch. The first batch of an epoch waits for all
    earlier work.

    Args:
        prepare: makes input and target from a batch (`PrepareSliceBatch`).
        device: the network's GPU.
    """

    def __init__(self, prepare: PrepareBatch, device: str | torch.device) -> None:
        self.prepare = prepare
        self.device = torch.device(device)
        self.stream = torch.cuda.Stream(self.device)
        self._made: Any = None

    def batches(self, loaded: Iterator[Any]) -> Iterator[Any]:
        """An epoch's batches of a loader, which are made on the side stream."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        while True:
            with torch.cuda.stream(self.stream):
                self._made = next(loaded, None)
            if self._made is None:
                return
            yield self._made

    def __call__(
        self, batchdata: Any, device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
    ) -> Any:
        step = torch.cuda.current_stream(self.device)
        if batchdata is not self._made:  # it was made on the step's stream
            self.stream.wait_stream(step)
        self._made = None
        with torch.cuda.stream(self.stream):
            prepared = self.prepare(batchdata, device, non_blocking, **kwargs)
        step.wait_stream(self.stream)
        for tensor in _tensors((batchdata, prepared), self.device.type):
            # otherwise, a later batch could get the memory while the step still reads it
            tensor.record_stream(step)
        # the step is not yet enqueued: the next batch waits only for the steps before it
        self.stream.wait_stream(step)
        return prepared


def _tensors(content: Any, kind: str) -> Iterator[Tensor]:
    """The tensors on this type of device in nested dictionaries, lists and tuples."""
    if isinstance(content, Tensor):
        if content.device.type == kind:
            yield content
    elif isinstance(content, Mapping):
        yield from _tensors(tuple(content.values()), kind)
    elif isinstance(content, list | tuple):
        for each in content:
            yield from _tensors(each, kind)
