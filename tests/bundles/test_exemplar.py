"""Test exemplar networks of volumes in 3D and 2D, with negatives from the batch and from the whole set."""

from __future__ import annotations

import json

import numpy as np
from planewise.engines import read_history

from tests.bundles.conftest import run_bundle
from tests.bundles.test_runs import weights

NAME = "pretext_exemplar"
SHORT = {"max_epochs": 2, "val_interval": 1, "samples_per_epoch": 8}


def test_it_is_kept_whole_and_searches_the_transformed_volume(phantoms, tmp_path):
    settings = {"datalist": str(phantoms.volume.heads), **SHORT}
    configs = ("train.yaml", "evaluate.yaml")
    run_bundle(NAME, *configs, run_id="train_and_evaluate", **settings, section="test", output_dir=tmp_path / "a")
    assert {key.split(".")[0] for key in weights(tmp_path / "a")} == {"encoder", "head"}
    assert all(
        0 <= row["val_accuracy"] <= 1 and np.isfinite(row["val_loss"])
        for row in read_history(tmp_path / "a/history.csv")
    )
    scores, items = (json.loads(path.read_text()) for path in (tmp_path / "a/test/metrics.json", phantoms.volume.heads))
    assert scores["volumes"] == scores["retrieval"]["candidates"] == len(items["test"])
    assert 0 <= scores["retrieval"]["top1"] <= scores["retrieval"]["top5"] <= 1
    assert (tmp_path / "a/test/neighbours.png").is_file()


def test_negatives_of_the_whole_set(phantoms, tmp_path):
    """In a batch of one there is no other sample, and none is needed."""
    settings = {"datalist": str(phantoms.volume.heads), "output_dir": str(tmp_path), **SHORT, "max_epochs": 1}
    settings |= {"negatives_from": "dataset", "batch_size": 1, "norm": "instance"}
    run_bundle(NAME, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", **settings)
    (row,) = read_history(tmp_path / "history.csv")
    assert np.isfinite(row["train_loss"]) and np.isfinite(row["val_loss"])
    assert "retrieval" in json.loads((tmp_path / "validation/metrics.json").read_text())
