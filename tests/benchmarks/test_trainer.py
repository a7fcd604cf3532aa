from __future__ import annotations

import math
import os

import pytest
import torch
from bars import trainer
from timing import Options


@pytest.fixture(scope="module")
def bars() -> dict:
    salt = os.environ.get("PLANEWISE_SALT_FILE")
    measured = trainer.measure(Options(repetitions=2, quick=True))
    assert os.environ.get("PLANEWISE_SALT_FILE") == salt
    return {bar.name: bar for bar in measured}


def test_what_is_measured(bars):
    assert all(math.isfinite(bar.value) for bar in bars.values())
    promised = [name for name, bar in bars.items() if bar.limit is not None]
    assert promised == ["trainer with all handlers / bare loop, demo network"]
    assert bars[promised[0]].limit == 1.08 and bars[promised[0]].value > 0


def test_the_trainer_waits_for_nothing_but_its_log(bars):
    # a point of the training curve has the loss and its two terms; each point also checks whether the loss is finite
    bar = bars["waits for the device, trainer minus bare loop"]
    assert bar.value * trainer.QUICK_BLOCK == pytest.approx(4), bar


def test_both_loops_do_the_same():
    """With the same batches and seeds, the bare loop and the trainer end with the same weights."""
    weights = []
    with trainer.phantom_datalist(1) as datalist:
        for loop in (trainer.TrainerEpoch, trainer.BareEpoch):
            torch.manual_seed(0)
            config = trainer.bundle_config("pretext_cardiac_multitask", ("train.yaml", "demo.yaml"), datalist, "cpu")
            # augmentation draws from the seed of the iteration, which the bare loop does not set
            config.update(trainer.TINY | {"samples_per_epoch": 5 * 8, "rotate": 0.0, "zoom": [1.0, 1.0]})
            one = config.get_parsed_content("train#trainer")
            readings = loop(one, 2, clock=lambda device: 0.0)()
            assert len(readings) == 2
            weights.append(one.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
