"""Freeze parts of a network for the first epochs and train them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine, Events
from torch.nn.parallel import DistributedDataParallel

from planewise.networks.named_parts import NamedParts
from planewise.networks.pretrained import NO_WEIGHTS


class FrozenEpochsHandler:
    """Keep pretrained parts unchanged until the rest of the network has learned to use them (Taleb 2020, appendix A).

    A frozen part gets no gradients and keeps its batch statistics (`NamedParts.freeze`), so the optimiser leaves it
    unchanged. When the parts are released, the optimiser keeps its state for the other parts, and starts with a new
    state for the released parts. In a resumed run, the epoch determines whether the parts are frozen.

    Args:
        network: network with the parts; the optimiser contains all its parameters from the start.
        epochs: number of epochs for which the parts are frozen.
        pretrained: the weights from which the run starts. Without pretrained weights, nothing is frozen, because frozen
            random weights would be useless.
        parts: names of the parts.
    """

    def __init__(
        self, network: NamedParts, epochs: int, pretrained: str | Path | None, parts: Sequence[str] = ("encoder",)
    ) -> None:
        self.network = network
        self.epochs = 0 if pretrained in NO_WEIGHTS else int(epochs)
        self.parts = tuple(parts)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)

    def _epoch(self, engine: Engine) -> None:
        frozen = engine.state.epoch <= self.epochs
        if frozen == bool(self.network.frozen):
            return
        if frozen:
            self.network.freeze(self.parts)
        else:
            self.network.release()
        wrapper = engine.network
        if isinstance(wrapper, DistributedDataParallel):
            # the old wrapper expects a gradient for every parameter that required one when it was created
            engine.network = DistributedDataParallel(wrapper.module, device_ids=wrapper.device_ids)
