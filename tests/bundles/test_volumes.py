"""The bundles of whole volumes (Taleb 2020)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.data import find_volumes, load_datalist
from planewise.phantoms import Recipe
from planewise.phantoms.head.population import HEADS

from tests.bundles.conftest import VOLUMES, run_bundle, tiny_size, write_phantoms
from tests.bundles.test_runs import interrupted, same, weights
from tests.conftest import ROOT

ROTATION, CODING = "pretext_rotation", "pretext_contrastive_predictive_coding"
SHORT = {"max_epochs": 2, "val_interval": 1, "samples_per_epoch": 8}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> SimpleNamespace:
    """``heads`` of two channels."""
    recipes = {
        "volume": {
            "heads": (Recipe("brats", 56, HEADS.with_values(side=16, tumour=0.0)), 6),
        }
    }
    return write_phantoms(tmp_path_factory.mktemp("volumes"), recipes, (0.5, 0.2, 0.3)).volume


@pytest.fixture(scope="module")
def pretext(volumes, tmp_path_factory) -> Path:
    """A run of the pretext, with what it is measured by."""
    folder = tmp_path_factory.mktemp("pretext")
    settings = {"datalist": str(volumes.heads), "output_dir": str(folder), **SHORT}
    run_bundle(ROTATION, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", **settings)
    return folder


@pytest.mark.parametrize("name", VOLUMES)
def test_training_and_inference_see_the_same_volume(name, volumes):
    folder, found, datalist = ROOT / "bundles" / name / "configs", [], getattr(volumes, VOLUMES[name])
    for file, key in (("train.yaml", "train#preprocessing"), ("inference.yaml", "preprocessing")):
        parser = ConfigParser(ConfigParser.load_config_file(str(folder / file)))
        parser.update(tiny_size(name) | {"bundle_root": str(folder.parent), "device": "cpu"})
        items = load_datalist(datalist, "test") if file == "train.yaml" else find_volumes(datalist)
        found.append(parser.get_parsed_content(key)(items[0])["image"])
    assert found[0].shape == found[1].shape and found[0].shape[1:] == (16, 16, 16)
    assert torch.equal(found[0].as_tensor(), found[1].as_tensor()) and torch.equal(found[0].affine, found[1].affine)


def test_a_pretext_counts_turned_volumes(pretext):
    scores = json.loads((pretext / "validation/metrics.json").read_text())
    assert scores["volumes"] == 8 and scores["rotation"]["turns"] == 10 and scores["rotation"]["images"] == 8
    assert (pretext / "validation/volumes.csv").read_text().count("\n") == 9
    assert (pretext / "validation/turns.png").is_file()


def test_the_2d_form_tells_four_turns_of_slices(volumes, tmp_path):
    settings = {"datalist": str(volumes.heads), "output_dir": str(tmp_path), **SHORT, "max_epochs": 1}
    configs = ("train.yaml", "evaluate.yaml", "2d.yaml")
    run_bundle(ROTATION, *configs, run_id="train_and_evaluate", **settings)
    scores = json.loads((tmp_path / "validation/metrics.json").read_text())
    assert scores["slices"] == 8 and scores["rotation"]["turns"] == 4
    assert weights(tmp_path)["encoder.stem.conv.weight"].shape == (4, 2, 3, 3)
    where = {"input": str(volumes.heads), "num_exams": 1, "output_dir": str(tmp_path / "out"), **tiny_size(ROTATION)}
    run_bundle(ROTATION, "inference.yaml", "2d.yaml", weights=str(tmp_path), **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    assert np.load(features).shape == (16, 8), "a row for each slice of the network's grid"


def test_predictive_coding_resumes_whole_and_counts_patches_that_are_found(volumes, tmp_path):
    settings = {"datalist": str(volumes.heads), **SHORT, "loss_form": "binary"}
    configs = ("train.yaml", "evaluate.yaml")
    run_bundle(CODING, *configs, run_id="train_and_evaluate", **settings, output_dir=str(tmp_path / "a"))
    interrupted(CODING, "train.yaml", after_epoch=1, **settings, output_dir=str(tmp_path / "b"))
    run_bundle(CODING, "train.yaml", **settings, output_dir=str(tmp_path / "b"))
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
    # of each of 8 volumes: nine patches predict one and two rows ahead, nine one row
    scores = json.loads((tmp_path / "a/validation/metrics.json").read_text())
    assert scores["volumes"] == 8 and scores["prediction"]["predictions"] == 8 * 27
    assert scores["prediction"]["chance"] == 1 / 5 and scores["prediction"]["chance_of_all"] == 1 / 27
    assert [row["predictions"] for row in scores["prediction"]["by_rows_ahead"]] == [8 * 18, 8 * 9]
    assert (tmp_path / "a/validation/predictions.png").is_file()


def test_the_2d_form_predicts_patches_of_slices(volumes, tmp_path):
    settings = {"datalist": str(volumes.heads), "output_dir": str(tmp_path), **SHORT, "max_epochs": 1}
    configs = ("train.yaml", "evaluate.yaml", "2d.yaml")
    run_bundle(CODING, *configs, run_id="train_and_evaluate", **settings)
    scores = json.loads((tmp_path / "validation/metrics.json").read_text())
    assert scores["slices"] == 8 and scores["prediction"]["chance_of_all"] == 1 / 9
    assert weights(tmp_path)["encoder.stem.conv.weight"].shape == (4, 2, 3, 3)
