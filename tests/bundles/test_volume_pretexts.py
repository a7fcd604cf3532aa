"""Pretexts that cut patches out of volumes (Taleb 2020), from training to the segmentation that starts from their weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planewise.phantoms import Recipe
from planewise.phantoms.head.population import HEADS

from tests.bundles.conftest import run_bundle, tiny_size, write_phantoms
from tests.bundles.test_runs import weights

PATCHES, TUMOURS = "pretext_relative_patch_location", "downstream_brain_tumour_segmentation"
SHORT = {"max_epochs": 1, "val_interval": 1, "samples_per_epoch": 8}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> SimpleNamespace:
    """``heads`` of two channels, and ``tumours`` of four with masks."""
    recipes = {
        "volume": {
            "heads": (Recipe("brats", 66, HEADS.with_values(side=16, tumour=0.0)), 6),
            "tumours": (Recipe("brats", 67, HEADS.with_values(side=16, radius=(25.0, 30.0))), 6),
        }
    }
    return write_phantoms(tmp_path_factory.mktemp("volumes"), recipes, (0.5, 0.2, 0.3)).volume


@pytest.fixture(scope="module")
def patches(volumes, tmp_path_factory) -> Path:
    """A run of relative patch location, with what it is measured by."""
    folder = tmp_path_factory.mktemp("patches")
    settings = {"datalist": str(volumes.heads), "output_dir": str(folder), **SHORT}
    run_bundle(PATCHES, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", **settings)
    return folder


def test_places_of_queries_are_counted_and_shown(patches):
    scores = json.loads((patches / "validation/metrics.json").read_text())
    found = scores["patch_location"]
    assert scores["volumes"] == found["queries"] == 8 and found["places"] == 26
    rows = list(csv.DictReader((patches / "validation/volumes.csv").open()))
    told = [row["place"] == row["predicted_place"] for row in rows]
    assert len(told) == 8 and found["accuracy"] == pytest.approx(np.mean(told))
    assert np.sum(found["confusion"]) == 8 and np.trace(found["confusion"]) == sum(told)
    assert (patches / "validation/patches.png").is_file()


def test_a_segmentation_takes_the_encoder_by_its_names(patches, volumes, tmp_path):
    """Of two channels to four: the first layer's weights are copied, everything else is as it was."""
    settings = {"datalist": str(volumes.tumours), "output_dir": str(tmp_path), "pretrained": str(patches), **SHORT}
    run_bundle(TUMOURS, "train.yaml", **settings | {"frozen_epochs": 1})
    before, after = weights(patches), weights(tmp_path)
    assert len(before.keys() & after.keys()) > 20
    for name, value in before.items():
        if name.startswith("encoder."):
            wanted = value[:, [0, 0, 1, 1]] if name == "encoder.stem.conv.weight" else value
            assert torch.equal(after[name], wanted), name


def test_the_2d_form_tells_eight_places_on_slices(volumes, tmp_path):
    settings = {"datalist": str(volumes.heads), "output_dir": str(tmp_path), **SHORT}
    run_bundle(PATCHES, "train.yaml", "evaluate.yaml", "2d.yaml", run_id="train_and_evaluate", **settings)
    scores = json.loads((tmp_path / "validation/metrics.json").read_text())
    assert scores["slices"] == 8 and scores["patch_location"]["places"] == 8
    assert weights(tmp_path)["encoder.stem.conv.weight"].shape == (4, 2, 3, 3)
    where = {"input": str(volumes.heads), "num_exams": 1, "output_dir": str(tmp_path / "out"), **tiny_size(PATCHES)}
    run_bundle(PATCHES, "inference.yaml", "2d.yaml", weights=str(tmp_path), **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    assert np.load(features).shape == (24, 8), "a row for each slice of the network's grid"
