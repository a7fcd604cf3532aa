"""Test anatomical positions on hearts and knees, from DICOM files to numbers and to messages about bad input."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import torch

from tests.bundles.conftest import infer, tiny_size, train_and_evaluate
from tests.bundles.test_pieces import parser_of as parser_of_bundle

NAME = "pretext_cardiac_sax_position"
SHORT = {"samples_per_epoch": 8, "batch_size": 4, "max_epochs": 1, "val_interval": 1}
SQUARES = (
    "crossing",
    "left",
    "far left",
    "right",
    "far right",
    "anterior",
    "far anterior",
    "posterior",
    "far posterior",
)
ALL_TRUSTED = {"min_found": 0, "max_residual": 1e6, "min_trusted": 0.0}
parser_of = partial(parser_of_bundle, NAME)


def without_a_view(phantoms, folder: Path) -> Path:
    """The hearts' datalist with one training exam that lacks the 4ch view."""
    content = json.loads(phantoms.cardiac.unlabelled.read_text())
    exam = content["training"][0]["exam"]
    for item in content["training"]:
        if item["exam"] == exam:
            del item["planes"]["4ch"]
    changed = phantoms.cardiac.unlabelled.parent / f"{folder.name}.json"
    changed.write_text(json.dumps(content))
    return changed


def test_an_exam_without_4ch_gives_its_message_or_is_masked(phantoms, tmp_path, caplog):
    datalist = without_a_view(phantoms, tmp_path)
    exam = json.loads(datalist.read_text())["training"][0]["exam"]
    items = parser_of(datalist, tmp_path).get_parsed_content("train#dataset").items
    assert items and exam not in {item["exam"] for item in items}
    assert f"slices left out: exam {exam} has no 4ch view (it has" in caplog.text
    parser = parser_of(datalist, tmp_path, missing_planes="mask", samples_per_exam="all", samples_per_epoch=None)
    trainer = parser.get_parsed_content("train#trainer")
    masked = 0
    for batch in trainer.data_loader:
        _, target = trainer.prepare_batch(batch, "cpu")
        lacks = [trainer.data_loader.dataset.items[row]["exam"] == exam for row in batch["index"].tolist()]
        assert ((target["squares"] == -1).all(dim=(1, 2)) == torch.tensor(lacks)).all()
        masked += sum(lacks)
    assert masked > 0


def test_only_the_phases_asked_for_are_learned_from(phantoms, tmp_path):
    phases = {
        points: [
            item["phase"]
            for item in parser_of(
                phantoms.cardiac.unlabelled, tmp_path, cycle_points=list(points) or None
            ).get_parsed_content("train#dataset#data")
        ]
        for points in ((), (0.0,), (0.0, 0.4))
    }
    # the phantoms have the phases 0 and 0.5
    assert set(phases[()]) == set(phases[0.0, 0.4]) == {0.0, 0.5} and set(phases[(0.0,)]) == {0.0}
    assert len(phases[()]) == len(phases[0.0, 0.4]) == 2 * len(phases[(0.0,)])


def test_a_heart_from_training_to_positions(phantoms, tmp_path):
    train_and_evaluate(NAME, phantoms.cardiac.unlabelled, tmp_path / "run", **SHORT)
    scores = json.loads((tmp_path / "run/validation/metrics.json").read_text())
    assert set(scores["positions"]["squares"]) == set(SQUARES) and 0 <= scores["positions"]["dice"] < 1
    assert scores["probe"]["location"]["slices"] > 0
    assert (tmp_path / "run/validation/squares.png").stat().st_size > 10_000
    exam = sorted(phantoms.cardiac.dicom.glob("train/train/*"))[0]
    for limits, verdict in (({}, "no positions"), (ALL_TRUSTED, "positions")):
        out = tmp_path / verdict
        infer(NAME, exam, tmp_path / "run", out, **tiny_size(NAME) | limits)
        (found,) = out.rglob("positions.json")
        positions = json.loads(found.read_text())
        # after two steps, the network has learned nothing, so only limits that trust everything accept its positions
        assert positions["verdict"] == verdict and bool(positions["reasons"]) == (verdict != "positions")
        labels = nibabel.load(next(out.rglob("*squares.nii.gz")))
        assert labels.shape[2] == len(positions["slices"]) and (found.parent / "positions.png").exists()
        if verdict == "no positions":
            assert not np.asarray(labels.dataobj).any()
        assert set(positions["slices"][0]["centres"]) == set(SQUARES)


def test_all_squares_of_a_knee_lie_on_its_image(phantoms, tmp_path):
    """A knee whose joint is not in the middle of the image may lose one square."""
    parser = parser_of(
        phantoms.knee.unlabelled, tmp_path, "knee.yaml", spacing=2.0, image_size=64, features=[8, 16, 16, 16, 16]
    )
    trainer = parser.get_parsed_content("train#trainer")
    evaluator = parser.get_parsed_content("validate#evaluator")
    _, target = evaluator.prepare_batch(trainer.data_loader.dataset.__getitems__(list(range(20))), "cpu")
    assert target["square_inside"].double().mean() > 0.9
    assert target["squares"].shape == (20, 64, 64) and set(target["squares"].unique().tolist()) == set(range(10))
