"""Use the same batch statistics in all processes."""

from __future__ import annotations

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn


class SameBuffersHandler:
    """Copy the first process's buffers to all processes before validation. Attach it to the evaluator.

    `DistributedDataParallel` copies the buffers before each training step. After the last step, the running statistics
    therefore differ (unless batch normalisation is synchronised), and each process would validate with its own. With one
    process, this handler does nothing.

    Args:
        network: the network that is evaluated.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if dist.is_initialized():
            for buffer in self.network.buffers():
                dist.broadcast(buffer, src=0)
