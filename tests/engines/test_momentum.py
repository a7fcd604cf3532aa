from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from ignite.engine import Engine
from planewise.engines import MomentumHandler, momentum_at


def test_it_rises_by_half_a_cosine():
    assert momentum_at(0, 100, 0.99) == pytest.approx(0.99)
    assert momentum_at(50, 100, 0.99) == pytest.approx(0.995)
    assert momentum_at(100, 100, 0.99) == 1 == momentum_at(101, 100, 0.99)
    assert momentum_at(25, 100, 0.9) == pytest.approx(1 - 0.1 * (math.cos(math.pi / 4) + 1) / 2)


def test_the_target_follows_after_every_step_and_a_resumed_run_continues():
    def followed(start: int) -> list[float]:
        found: list[float] = []
        engine = Engine(lambda engine, batch: None)
        MomentumHandler(SimpleNamespace(follow=found.append), 0.96).attach(engine)
        engine.state.epoch, engine.state.iteration = start, 3 * start
        engine.state.epoch_length, engine.state.max_epochs = 3, 4
        engine.run(range(3), max_epochs=4, epoch_length=3)
        return found

    whole = followed(0)
    assert whole == pytest.approx([momentum_at(step, 12, 0.96) for step in range(12)])
    assert followed(2) == pytest.approx(whole[6:]), "two of four epochs are left"
    with pytest.raises(ValueError, match="from 0 to 1"):
        MomentumHandler(SimpleNamespace(), 1.5)
