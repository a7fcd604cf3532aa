"""Test which of a run's scores are reported."""

from __future__ import annotations

import json

import pytest
from planewise.packaging.run import Run


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (("test", "validation"), "test"),
        (("validation",), "validation"),
        (("training", "test"), "test"),
        (("training",), None),
    ],
)
def test_scores_of_the_test_set_come_before_those_of_validation_and_those_of_training_never(sections, told, tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("models/model.pt", "config.yaml", "run.json"):
        (tmp_path / name).write_text("{}")
    for section in sections:
        (tmp_path / section).mkdir()
        (tmp_path / section / "metrics.json").write_text(json.dumps({"of": section}))
    run = Run.of_weights(tmp_path / "models/model.pt")
    assert run.scores == ((told, {"of": told}) if told else None)
