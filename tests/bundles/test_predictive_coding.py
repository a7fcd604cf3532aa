"""Test that contrastive predictive coding of volumes resumes, saves its weights and is scored."""

from __future__ import annotations

import json

from tests.bundles.conftest import run_bundle
from tests.bundles.test_runs import interrupted, same, weights

NAME = "pretext_contrastive_predictive_coding"
SHORT = {"max_epochs": 2, "val_interval": 1, "samples_per_epoch": 8}


def test_it_resumes_whole_and_counts_patches_that_are_found(phantoms, tmp_path):
    settings = {"datalist": str(phantoms.volume.heads), **SHORT, "loss_form": "binary"}
    configs = ("train.yaml", "evaluate.yaml")
    run_bundle(NAME, *configs, run_id="train_and_evaluate", **settings, output_dir=tmp_path / "a")
    interrupted(NAME, "train.yaml", after_epoch=1, **settings, output_dir=tmp_path / "b")
    run_bundle(NAME, "train.yaml", **settings, output_dir=tmp_path / "b")
    whole, parts = (weights(tmp_path / folder, "last.ckpt")["learner"] for folder in "ab")
    assert same(whole, parts) and {key.split(".")[0] for key in whole} == {
        "network",
        "projector",
        "context",
        "predictors",
    }
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert {key.split(".")[0] for key in weights(tmp_path / "a")} == {"encoder"}
    assert same(weights(tmp_path / "a", "learner.ckpt"), weights(tmp_path / "b", "learner.ckpt"))
    # in each of 8 volumes, nine patches predict both one and two rows ahead, and nine patches predict one row ahead
    scores = json.loads((tmp_path / "a/validation/metrics.json").read_text())
    assert scores["volumes"] == 2 and scores["prediction"]["predictions"] == 8 * 27
    assert scores["prediction"]["chance"] == 1 / 5 and scores["prediction"]["chance_of_all"] == 1 / 27
    assert [row["predictions"] for row in scores["prediction"]["by_rows_ahead"]] == [8 * 18, 8 * 9]
    assert (tmp_path / "a/validation/predictions.png").is_file()
