from __future__ import annotations

import math

import pytest
from bars import whole_run
from timing import Options


@pytest.mark.slow
def test_what_is_measured():
    bars = {bar.name: bar for bar in whole_run.measure(Options(repetitions=2, quick=True))}
    for name in ("fine-tuning", "pretraining"):
        ratio, start, written, peak = (bar for key, bar in bars.items() if key.startswith(name))
        assert math.isfinite(ratio.value) and ratio.value > 1, "what the network needs is part of the run"
        assert 0.5 < start.value < 300 and start.unit == "s"
        assert 0 < written.value < written.limit == 2.0, "two checkpoints of a tiny network"
        assert 0.1 < peak.value < 10, "GiB: torch and MONAI alone take a third of one"


@pytest.mark.parametrize(("device", "epochs", "width"), [("cpu", 2, "demo"), ("cuda:0", 100, "paper")])
def test_both_trainings_are_of_epochs_as_short_as_the_papers(device, epochs, width):
    fine_tuning, pretraining = whole_run.runs(Options(device=device))
    assert fine_tuning.settings["max_epochs"] == epochs and fine_tuning.exams[0] == 1
    assert "demo.yaml" not in fine_tuning.configs and fine_tuning.settings["samples_per_epoch"] == 2 * 10
    assert (pretraining.configs == ("train.yaml",)) == (width == "paper")
    assert pretraining.settings["samples_per_epoch"] == 31 * 20
