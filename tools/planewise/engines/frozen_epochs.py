"""Freeze the encoder of a network for the first epochs and train it afterwards."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from planewise.errors import InputError
from planewise.networks.named_parts import NamedParts
from planewise.networks.pretrained import NO_WEIGHTS

logger = logging.getLogger(__name__)


class FrozenEpochsHandler:
    """Keep a pretrained encoder unchanged until the rest of the network has learned to use it (Taleb 2020, appendix A).

    A frozen encoder gets no gradients and keeps its batch statistics (`NamedParts.freeze`), so the optimiser leaves it
    unchanged. When it is released, the optimiser keeps its state for the other parts, and starts with a new state for
    the encoder. In a resumed run, the epoch determines whether it is frozen.

    Args:
        network: network with named parts (`NamedParts`), or any network if nothing is frozen; the optimiser
            contains all its parameters from the start.
        epochs: number of epochs for which the encoder is frozen.
        pretrained: the weights from which the run starts. Without pretrained weights, nothing is frozen, because frozen
            random weights would be useless.
    """

    def __init__(self, network: nn.Module, epochs: int, pretrained: str | Path | None) -> None:
        self.network = network
        self.epochs = 0 if pretrained in NO_WEIGHTS else int(epochs)

    def attach(self, engine: Engine) -> None:
        """Attach it to a trainer.

        Raises:
            InputError: the network has no named parts, so no encoder can be frozen.
        """
        if not self.epochs:
            return
        if not isinstance(self.network, NamedParts):
            raise InputError(
                f"frozen_epochs is {self.epochs}, but {type(self.network).__name__} has no encoder that could be frozen; add "
                "--frozen_epochs 0 to train all of it from the first epoch"
            )
        engine.add_event_handler(Events.STARTED, self._warn)
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)

    def _warn(self, engine: Engine) -> None:
        if self.epochs >= (engine.state.max_epochs or math.inf):
            logger.warning(
                "the pretrained encoder is never trained: it is frozen for %d epochs (frozen_epochs), and the run has %d",
                self.epochs,
                engine.state.max_epochs,
            )

    def _epoch(self, engine: Engine) -> None:
        frozen = engine.state.epoch <= self.epochs
        if frozen == bool(self.network.frozen):
            return
        if frozen:
            self.network.freeze(("encoder",))
        else:
            self.network.release()
        wrapper = engine.network
        if isinstance(wrapper, DistributedDataParallel):
            # the old wrapper expects a gradient for every parameter that required one when it was created
            engine.network = DistributedDataParallel(wrapper.module, device_ids=wrapper.device_ids)
