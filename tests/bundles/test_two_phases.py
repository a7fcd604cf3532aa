"""Test diagnosis from two phases: hearts alone, pretrained backbones, cross-validation, early stopping, saliency."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from tests.bundles.conftest import tiny, train, train_and_evaluate
from tests.bundles.test_runs import same, weights

NAME, PRETEXT = "downstream_cardiac_two_phase_classification", "pretext_simclr"
QUICK = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "batch_size": 4}


def test_from_a_pretext_on_hearts_alone(phantoms, tmp_path):
    """The test uses both bundles on one datalist, with the paper's other backbone, too."""
    datalist = str(phantoms.cardiac.labelled)
    train(
        PRETEXT, datalist, tmp_path / "p", "vgg16.yaml", images="segmented",
        **QUICK | {"batch_size": 8, "projection": [8, 4], "features": tiny(NAME)["features"], "blocks": [1] * 5},
    )  # fmt: skip
    train_and_evaluate(
        NAME, datalist, tmp_path / "f", images="segmented", fold=0, folds=3, pretrained=tmp_path / "p", **QUICK,
    )  # fmt: skip
    pretext, kept = weights(tmp_path / "p"), weights(tmp_path / "f")
    for phase in ("ed", "es"):
        assert same(
            {name.replace(f".{phase}", ""): value for name, value in kept.items() if f".{phase}." in name}, pretext
        )
    scores = json.loads((tmp_path / "f/test/metrics.json").read_text())
    assert scores["exams"] == 3 and sum(map(sum, scores["confusion"])) == 3
    assert {"roc.png", "saliency.png"} <= {path.name for path in (tmp_path / "f/test").iterdir()}
    rows = list(csv.DictReader((tmp_path / "f/test/predictions.csv").open()))
    assert all(sum(float(row[f"p({name})"]) for name in scores["auc"]) == pytest.approx(1, abs=1e-5) for row in rows)

    train(NAME, datalist, tmp_path / "a", pretrained=tmp_path / "p", transfer="all", learning_rate=0.01, **QUICK)
    moved = weights(tmp_path / "a")
    assert not torch.equal(moved["encoder.ed.features.0.weight"], moved["encoder.es.features.0.weight"])
