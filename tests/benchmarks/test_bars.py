"""Test what the modules of bars measure, at small sizes."""

from __future__ import annotations

import math
from importlib import import_module

import pytest
import torch
from bars import index, trainer
from planewise.exams.scan import scan_folder
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Options

QUICK = Options(repetitions=2, quick=True)
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("module", "count", "limits"),
    [
        ("index", None, {1.0}),
        ("steps", 3, {1.05}),
        ("trainer", 3, {1.08}),
        pytest.param("whole_run", 8, {2.0}, marks=SLOW),
    ],
)
def test_what_is_measured(module, count, limits):
    bars = {bar.name: bar for bar in import_module(f"bars.{module}").measure(QUICK)}
    assert count is None or len(bars) == count
    # tests do not install kornia
    assert {name for name, bar in bars.items() if bar.value is None} <= {"ours / kornia, batched"}
    assert all(math.isfinite(bar.value) and bar.value > 0 for bar in bars.values() if bar.value is not None)
    assert {bar.limit for bar in bars.values() if bar.limit is not None} == limits
    if module == "trainer":
        # a point of the training curve has the loss and its two terms; each point also checks whether the loss is finite
        waits = bars["waits for the device, trainer minus bare loop"].value
        assert waits * trainer.QUICK_BLOCK == pytest.approx(4), "the trainer waits for nothing but its log"


def test_headers_are_read_from_the_same_files(tmp_path):
    population = UNLABELLED.at_size("demo").with_values(phases=1)
    list(write_exams(Recipe("dsbcc", 3, population), tmp_path / "exam", 1))
    count = index._repeat(tmp_path / "exam", tmp_path / "tree", 30)
    plain, scan = index._plain(tmp_path / "tree"), scan_folder(tmp_path / "tree")
    assert len(plain) == len(scan.frames) == count >= 30
    place = index.TAGS.index("SOPInstanceUID")
    assert sorted(str(row[place]) for row in plain) == sorted(frame.sop for frame in scan.frames)


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
