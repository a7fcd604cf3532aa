"""Early stopping."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class EarlyStopHandler:
    """End training if the validation's key metric has not improved for this many epochs.

    It uses the evaluator's best epoch, which checkpoints store, so a resumed run ends where an uninterrupted one does;
    a run that has ended is not trained further. Attach it to the trainer after the checkpoints. Without validation data
    it does nothing. (MONAI's and Ignite's handlers start counting again after resuming.)

    Args:
        evaluator: the evaluator, with a key metric.
        patience: epochs without improvement; None or 0 never stops.
    """

    def __init__(self, evaluator: Engine, patience: int | None) -> None:
        self.evaluator = evaluator
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._look)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _look(self, engine: Engine) -> None:
        best = self.evaluator.state.best_metric_epoch
        if self.patience and best > 0 and engine.state.epoch - best >= self.patience:
            logger.info("no gain since epoch %d: training ends after epoch %d", best, engine.state.epoch)
            engine.terminate()
