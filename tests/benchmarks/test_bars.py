"""Test what the modules of bars measure, at small sizes."""

from __future__ import annotations

import logging
import math
from importlib import import_module

import pytest
import torch
from bars import trainer
from planewise.engines.inferers import fuse
from timing import Options

QUICK = Options(repetitions=2, quick=True)


@pytest.mark.parametrize(
    ("module", "count", "limits"),
    [
        pytest.param("index", None, {0.8}, marks=pytest.mark.slow),  # more with dcm2niix
        pytest.param("own_exams", 12, set(), marks=pytest.mark.slow),
        ("start", 2, {0.7}),
        ("steps", 7, {1.05, 0.78}),
        ("trainer", 4, {1.08, 1.05}),
        pytest.param("inference", 2, set(), marks=pytest.mark.slow),
        pytest.param("cache", 6, {1.02, 0.45, 0.05}, marks=pytest.mark.slow),
        pytest.param("batch_path", 3, {1 / 7, 0.02}, marks=pytest.mark.slow),
        pytest.param("whole_run", 8, {2.0}, marks=pytest.mark.slow),
    ],
)
def test_what_is_measured(module, count, limits, request, monkeypatch):
    monkeypatch.delenv("PLANEWISE_REAL_DATA", raising=False)  # of which there are more bars
    # a module silences Ignite, which must not last beyond this test
    request.addfinalizer(lambda: logging.getLogger("ignite").setLevel(logging.NOTSET))
    bars = {bar.name: bar for bar in import_module(f"bars.{module}").measure(QUICK)}
    assert count in (None, len(bars))
    assert all(math.isfinite(bar.value) for bar in bars.values())
    assert {bar.limit for bar in bars.values() if bar.limit is not None} == limits
    if module == "trainer":
        # a point of the training curve has the loss and its two terms
        waits = bars["waits for the device, trainer minus bare loop"].value
        assert waits * trainer.QUICK_BLOCK == pytest.approx(3), "the trainer waits for nothing but its log"


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
            fuse(one.optimizer)  # as the trainer's start does
            readings = loop(one, 2, clock=lambda device: 0.0)()
            assert len(readings) == 2
            weights.append(one.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
