"""Test that configs with the names of the previous version still work."""

from __future__ import annotations

import logging
import math

import planewise.geometry
import planewise.losses
import planewise.metrics
import pytest
import torch
from monai.bundle import ConfigParser


def test_an_old_name_makes_what_it_made_and_says_the_new_one(caplog):
    with caplog.at_level(logging.WARNING):
        loss = ConfigParser({"loss": {"_target_": "planewise.losses.RotationLoss"}}).get_parsed_content("loss")
    logits, turn = torch.randn(3, 4), torch.tensor([0, 3, 1])
    assert torch.equal(loss(logits, {"turn": turn}), planewise.losses.CrossEntropyLoss("turn")(logits, {"turn": turn}))
    assert "planewise.losses.RotationLoss is now CrossEntropyLoss, key: turn; " in caplog.text


def test_a_metric_has_its_old_name_too(caplog):
    metric = {"_target_": "planewise.metrics.GradeKappa", "output_transform": "$lambda output: output"}
    metric = ConfigParser({"metric": metric}).get_parsed_content("metric")
    logits, grades = torch.randn(9, 4), torch.arange(9) % 5
    metric.update((logits, grades))
    assert metric.compute() == planewise.metrics.grade_kappa(logits, grades)
    assert "is now EpochScore, score: grade_kappa" in caplog.text


def test_a_name_that_never_was_is_refused_as_python_does():
    with pytest.raises(AttributeError, match=r"module 'planewise\.losses' has no attribute 'RotationLos'"):
        _ = planewise.losses.RotationLos
    assert not hasattr(planewise.metrics, "RotationLoss")


def test_targets_and_loss_of_an_old_config_fit_each_other(caplog):
    made = {"pretext": "planewise.pretexts.QuarterTurnsd", "loss": "planewise.losses.RotationLoss"}
    parser = ConfigParser({key: {"_target_": name} for key, name in made.items()})
    pretext, loss = (parser.get_parsed_content(key) for key in made)
    batch = pretext({"image": torch.randn(4, 1, 6, 6)})
    assert "turn" in batch and float(loss(torch.zeros(4, 4), batch)) == pytest.approx(math.log(4))
    assert planewise.geometry.PLANE_TURNS == 4 and "is now PLANE_ROTATIONS" in caplog.text
