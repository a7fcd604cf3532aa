"""Stop training early if the validation metric no longer improves."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class EarlyStopHandler:
    """End training if the key metric of the validation has not improved for ``patience`` epochs.

    The handler uses the evaluator's best epoch, which checkpoints store. A resumed run therefore ends at the same epoch
    as an uninterrupted run, and a run that has ended is not trained further. (MONAI's and Ignite's handlers start to
    count again when a run resumes.) Attach it to the trainer after the checkpoints. Without validation data, it does
    nothing.

    Args:
        evaluator: the evaluator, with a key metric.
        patience: number of epochs without improvement after which training ends; with None or 0, it never ends early.
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
            logger.info("no improvement since epoch %d, so training ends after epoch %d", best, engine.state.epoch)
            engine.terminate()
