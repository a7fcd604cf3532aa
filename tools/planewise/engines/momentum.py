"""Let a target network follow the trained network."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events

from planewise.networks import ByolLearner


def momentum_at(step: int, steps: int, start: float) -> float:
    """Momentum after a step of a run (Grill 2020, section 3.3): ``1 - (1 - start) (cos(pi k / K) + 1) / 2``.

    Args:
        step: k, from 0 to K.
        steps: K, the total number of steps of the run.
        start: momentum of the first step; it rises to 1 at the last step.
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(step, steps) / max(1, steps)) + 1) / 2


class MomentumHandler:
    """Update the target network after every step of the optimiser. Attach it to the trainer.

    The momentum depends only on the iteration, so a resumed run continues with the right value.

    Args:
        learner: a learner with a target network (`ByolLearner.follow`).
        start: momentum of the first step; it rises to 1 at the end of the run.
    """

    def __init__(self, learner: ByolLearner, start: float = 0.99) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f"momentum must be a number from 0 to 1, got {start}")
        self.learner = learner
        self.start = float(start)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state = engine.state
        self.learner.follow(momentum_at(state.iteration - 1, state.max_epochs * state.epoch_length, self.start))
