"""The end of a training that no longer gets better."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class EarlyStopHandler:
    """End training when the validation's key metric has not bettered for so many epochs.

    It looks at the evaluator's best epoch, which checkpoints keep, so a resumed run ends where the whole one does; and one
    that has ended is not trained further. Attach it to the trainer after the checkpoints. Without validation data
    it does nothing. (MONAI's and Ignite's handlers count anew after resuming.)

    Args:
        evaluator: validates, with a key metric.
        patience: epochs without a gain; None or 0 never stops.
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
