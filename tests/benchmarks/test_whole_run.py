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
        assert math.isfinite(ratio.value) and ratio.value > 1, "the run includes the network's own time"
        assert 0.5 < start.value < 300 and start.unit == "s"
        assert 0 < written.value < written.limit == 2.0, "two checkpoints of a tiny network"
        assert 0.1 < peak.value < 10, "in GiB; torch and MONAI alone take a third of a GiB"


@pytest.mark.parametrize(("device", "epochs"), [("cpu", (2, 1)), ("cuda:0", (40, 25))])
def test_both_trainings_have_the_papers_width_and_short_epochs(device, epochs):
    fine_tuning, pretraining = runs = whole_run.runs(Options(device=device))
    assert fine_tuning.exams[0] == 1
    assert tuple(run.settings["max_epochs"] for run in runs) == epochs
    assert all(run.configs == ("train.yaml",) for run in runs)
    assert [run.settings["samples_per_epoch"] for run in runs] == [2 * 10, 31 * 20]
    # a validation is part of each run
    assert all(run.exams[1] and run.settings.get("val_interval", 1) <= run.settings["max_epochs"] for run in runs)
