"""Test the pretexts that cut patches from volumes (Taleb 2020), from training to the segmentation that uses their weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundles.conftest import PUZZLES_OF_VOLUMES, parser_of, run_bundle, tiny_size, train, train_and_evaluate
from tests.bundles.test_runs import interrupted, same, weights
from tests.conftest import ROOT

PATCHES, TUMOURS = "pretext_relative_patch_location", "downstream_brain_tumour_segmentation"
JIGSAW = "pretext_jigsaw"
SHORT = {"max_epochs": 1, "val_interval": 1, "samples_per_epoch": 8}


@pytest.fixture(scope="module")
def patches(phantoms, tmp_path_factory) -> Path:
    """A run of relative patch location, with its evaluation."""
    folder = tmp_path_factory.mktemp("patches")
    train_and_evaluate(PATCHES, phantoms.volume.heads, folder, **SHORT)
    return folder


def test_places_of_queries_are_counted_and_shown(patches):
    scores = json.loads((patches / "validation/metrics.json").read_text())
    found = scores["patch_location"]
    assert scores["volumes"] == 2 and found["queries"] == 8 and found["places"] == 26
    rows = list(csv.DictReader((patches / "validation/volumes.csv").open()))
    told = [row["place"] == row["predicted_place"] for row in rows]
    assert len(told) == 8 and found["accuracy"] == pytest.approx(np.mean(told))
    assert np.sum(found["confusion"]) == 8 and np.trace(found["confusion"]) == sum(told)
    assert (patches / "validation/patches.png").is_file()


@pytest.fixture(scope="module")
def puzzles(phantoms, tmp_path_factory) -> Path:
    """A run of puzzles of volumes, with its evaluation."""
    folder = tmp_path_factory.mktemp("puzzles")
    train_and_evaluate(
        JIGSAW, phantoms.volume.heads, folder, "3d.yaml", **SHORT | PUZZLES_OF_VOLUMES | {"max_epochs": 2}
    )
    return folder


def test_puzzles_of_volumes_are_counted_and_shown(puzzles):
    scores = json.loads((puzzles / "validation/metrics.json").read_text())
    found = scores["jigsaw"]
    assert found["permutations"] == 20 and found["puzzles"] == scores["volumes"] > 0
    assert (puzzles / "validation/puzzles.png").is_file()


def test_puzzles_of_volumes_resume_bit_equal(puzzles, phantoms, tmp_path):
    settings = {
        "datalist": str(phantoms.volume.heads),
        "output_dir": str(tmp_path),
        **SHORT,
        **PUZZLES_OF_VOLUMES,
        "max_epochs": 2,
    }
    interrupted(JIGSAW, "train.yaml", "3d.yaml", after_epoch=1, **settings)
    run_bundle(JIGSAW, "train.yaml", "3d.yaml", **settings)
    assert same(weights(puzzles), weights(tmp_path))
    assert (puzzles / "history.csv").read_text() == (tmp_path / "history.csv").read_text()


def test_the_tiles_of_a_volume_reach_the_network_in_the_order_of_the_bundles_permutations(phantoms, tmp_path):
    """Compare the tiles with a loop over the volume's cells; the permutations are those of the bundle's file."""
    where = {"datalist": str(phantoms.volume.heads), "output_dir": str(tmp_path)}
    parser = parser_of(JIGSAW, "train.yaml", "3d.yaml", **where | PUZZLES_OF_VOLUMES | {"tile_gap": 0})
    file = ROOT / "bundles" / JIGSAW / "configs/permutations_3d.json"
    rows = json.loads(file.read_text())["permutations"]
    batch = parser.get_parsed_content("train#dataset").__getitems__([0, 1, 2])
    made = parser.get_parsed_content("train#pretext")(batch)
    assert made["image"].shape == (3, 27 * 2, 5, 5, 5)
    for number, order in enumerate(made["permutation"].tolist()):
        assert order < 20
        for place, cell in enumerate(rows[order]):
            i, j, k = (5 * step for step in (cell // 9, cell // 3 % 3, cell % 3))
            wanted = batch["image"][number, :, i : i + 5, j : j + 5, k : k + 5]
            assert torch.equal(made["image"][number, 2 * place : 2 * place + 2], wanted)


def test_the_weights_of_puzzles_of_volumes_bring_their_configs(puzzles, phantoms, tmp_path):
    """Run `evaluate.yaml` and `inference.yaml` without 3d.yaml; the features are those of the volume as training saw it."""

    def run(*configs: str, **settings) -> None:
        # `run_bundle` cannot be used here, because it sets other sizes
        folder = ROOT / "bundles" / JIGSAW
        files = [str(folder / "configs" / name) for name in configs]
        settings |= {"weights": str(puzzles), "bundle_root": str(folder)}
        monai.bundle.run(config_file=files, logging_file=False, **settings)

    where = {"datalist": str(phantoms.volume.heads), "output_dir": str(tmp_path / "scores"), "progress": False}
    run("train.yaml", "evaluate.yaml", **where)
    scores = json.loads((tmp_path / "scores/validation/metrics.json").read_text())
    assert scores["jigsaw"] == json.loads((puzzles / "validation/metrics.json").read_text())["jigsaw"]
    run("inference.yaml", input=str(phantoms.volume.heads), num_exams=1, output_dir=str(tmp_path / "out"))
    (features,) = (np.load(file) for file in (tmp_path / "out").rglob("features.npy"))
    assert features.shape == (1, 8) and np.isfinite(features).all()


def test_puzzles_of_slices_of_volumes(phantoms, tmp_path):
    settings = {"datalist": str(phantoms.volume.heads), "output_dir": str(tmp_path), **SHORT, **PUZZLES_OF_VOLUMES}
    configs = ("train.yaml", "evaluate.yaml", "3d.yaml", "2d.yaml")
    run_bundle(JIGSAW, *configs, run_id="train_and_evaluate", **settings)
    scores = json.loads((tmp_path / "validation/metrics.json").read_text())
    assert scores["slices"] > 0 and weights(tmp_path)["encoder.stem.conv.weight"].shape == (4, 2, 3, 3)
    assert weights(tmp_path)["head.0.weight"].shape == (8, 9 * 8)
    # the run of the weights names both configs
    folder = ROOT / "bundles" / JIGSAW
    where = {
        "input": str(phantoms.volume.heads),
        "num_exams": 1,
        "output_dir": str(tmp_path / "out"),
        "weights": str(tmp_path),
    }
    file = str(folder / "configs/inference.yaml")
    monai.bundle.run(config_file=file, logging_file=False, bundle_root=str(folder), **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    assert np.load(features).shape == (16, 8), "one row of features for each slice of the network's grid"


@pytest.mark.parametrize("pretext", ["patches", "puzzles"])
def test_a_segmentation_takes_the_encoder_by_its_names(pretext, phantoms, tmp_path, request):
    """From two channels to four, the first layer's weights are copied, and everything else is unchanged."""
    folder = request.getfixturevalue(pretext)
    before = weights(folder)
    train(TUMOURS, phantoms.volume.tumours, tmp_path, pretrained=folder, **SHORT | {"frozen_epochs": 1})
    after = weights(tmp_path)
    assert len(before.keys() & after.keys()) > 20
    for name, value in before.items():
        if name.startswith("encoder."):
            wanted = value[:, [0, 0, 1, 1]] if name == "encoder.stem.conv.weight" else value
            assert torch.equal(after[name], wanted), name


@pytest.mark.parametrize(
    ("name", "slices", "score", "rows"),
    [
        ("pretext_rotation", 8, ("rotation", "rotations", 4), 16),
        (PATCHES, 6, ("patch_location", "places", 8), 24),
        ("pretext_contrastive_predictive_coding", 8, ("prediction", "chance_of_all", 1 / 9), 16),
        ("pretext_exemplar", 2 * 16, ("retrieval", "dimensions", 8), 16),
    ],
)
def test_the_2d_form_learns_from_slices(name, slices, score, rows, phantoms, tmp_path):
    train_and_evaluate(name, phantoms.volume.heads, tmp_path, "2d.yaml", **SHORT)
    scores = json.loads((tmp_path / "validation/metrics.json").read_text())
    group, key, value = score
    assert scores["slices"] == slices and scores[group][key] == value
    assert weights(tmp_path)["encoder.stem.conv.weight"].shape == (4, 2, 3, 3)
    where = {
        "input": str(phantoms.volume.heads),
        "num_exams": 1,
        "output_dir": str(tmp_path / "out"),
        **tiny_size(name),
    }
    run_bundle(name, "inference.yaml", "2d.yaml", weights=tmp_path, **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    assert np.load(features).shape == (rows, 8), "one row of features for each slice of the network's grid"


@pytest.mark.parametrize(
    "name", [path.parents[1].name for path in sorted(ROOT.glob("bundles/pretext_*/configs/2d.yaml"))]
)
def test_2d_forms_have_one_schedule(name):
    """All five pretexts have the paper's learning rate and the same batches of slices."""
    files = [ROOT / "bundles" / name / "configs" / file for file in ("train.yaml", "3d.yaml", "2d.yaml")]
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files if file.is_file()]))
    assert [parser[key] for key in ("spatial_dims", "batch_size", "samples_per_exam")] == [2, 64, 8]
    assert parser["learning_rate"] == 5e-4
