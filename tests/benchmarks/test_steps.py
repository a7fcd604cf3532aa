from __future__ import annotations

import math

import pytest
from bars import steps
from bars.trainer import phantom_datalist
from monai.bundle import ConfigParser
from timing import Options

from tests.conftest import ROOT


def test_what_is_measured():
    bars = {bar.name: bar for bar in steps.measure(Options(repetitions=2, quick=True))}
    assert list(bars) == [
        f"pretext_cardiac_multitask: {what}"
        for what in ("training step", "trainer / bare loop", "batch path / training step")
    ]
    step, overhead, path = bars.values()
    assert all(math.isfinite(bar.value) and bar.value > 0 for bar in bars.values())
    assert (step.unit, step.note) == ("ms", "batch 2")
    assert overhead.limit == 1.05 and "TFLOP/s" in overhead.note
    assert path.value < 1, "preparing a batch is only a part of a step"


@pytest.mark.parametrize("case", steps.CASES, ids=str)
def test_cases_are_bundles_of_the_papers_size(case):
    config = ConfigParser.load_config_file(str(ROOT / "bundles" / case.bundle / "configs/train.yaml"))
    changed = {name.partition("#")[0] for name in case.settings}
    assert config.keys() >= changed | {"samples_per_epoch", "log_interval", "batch_size"}


@pytest.mark.parametrize("layout", ["acdc", "brats"])
def test_exams_of_every_layout(layout):
    with phantom_datalist(recipe=steps.RECIPES[layout]) as datalist:
        assert '"label"' in datalist.read_text()


def test_a_step_of_volumes(monkeypatch):
    monkeypatch.setattr(steps, "CASES", [steps.Case("downstream_brain_tumour_segmentation", "brats")])
    monkeypatch.setattr(steps, "_QUICK", {"features": [4, 8], "image_size": 16, "batch_size": 2})
    step, *_ = steps.measure(Options(repetitions=2, quick=True))
    assert step.value > 0
