"""Test that Models Genesis learns and explains bad input."""

from __future__ import annotations

import pytest
import torch

from tests.bundles.test_pieces import parser_of, worsened_by_its_loss_turned
from tests.bundles.test_restoration import Recorder

GENESIS = "pretext_models_genesis"
#: Enough to learn something in seconds.
QUICK = {
    "features": [8, 16, 32],
    "learning_rate": 0.003,
    "batch_size": 8,
    "samples_per_epoch": 960,
    "max_epochs": 1,
    "amp": False,
    "val_samples_per_exam": "all",
    "writes": False,
}


def unchanged_as_answer(parser) -> float:
    """The error if the network returned the corrupted slices unchanged; they are corrupted as in validation."""
    prepare = parser.get_parsed_content("validate#evaluator").prepare_batch
    errors = []
    for number, batch in enumerate(parser.get_parsed_content("validate#dataloader")):
        torch.manual_seed(number)
        image, target = prepare(batch, "cpu")
        errors.append((image - target["restored"]).square().mean(dim=(1, 2, 3)))
    return float(torch.cat(errors).mean())


def test_it_learns_on_phantoms_and_not_with_its_loss_turned(phantoms, tmp_path):
    """Errors on exams that the network has not seen. Slices have unit variance, so a network that always predicts a slice's
    mean has an error of 1.
    """
    torch.manual_seed(0)
    parser = parser_of(GENESIS, phantoms.cardiac.unlabelled, tmp_path / "right", **QUICK)
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    trainer.run()
    evaluator.run()
    error = evaluator.state.metrics["val_loss"]
    assert error < 0.85
    assert error < 0.5 * unchanged_as_answer(parser)
    torch.manual_seed(0)
    parser = parser_of(GENESIS, phantoms.cardiac.unlabelled, tmp_path, **QUICK | {"samples_per_epoch": 48})
    assert worsened_by_its_loss_turned(parser) > 1.1
    assert parser.get_parsed_content("validate#evaluator").state.metrics["val_loss"] > 1


def test_the_network_sees_spoilt_slices_and_is_asked_for_the_others(phantoms, tmp_path):
    parser = parser_of(GENESIS, phantoms.cardiac.unlabelled, tmp_path, **QUICK | {"samples_per_epoch": 8})
    trainer = parser.get_parsed_content("train#trainer")
    trainer.network = Recorder(trainer.network)
    trainer.run()
    (image,) = trainer.network.seen
    target = trainer.state.output["label"]
    assert ((image - target["restored"]).abs() > 1e-3).flatten(1).any(1).sum() >= 7
    # standardised slices, slightly rotated and scaled
    torch.testing.assert_close(target["restored"].std(dim=(1, 2, 3)), torch.ones(8), atol=0.25, rtol=0)
    squares = (trainer.state.output["pred"].detach() - target["restored"]).square()
    assert float(trainer.state.output["loss"]) == pytest.approx(float(squares.mean()), rel=1e-4)
