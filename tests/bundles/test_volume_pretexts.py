"""Test the pretexts that cut patches from volumes (Taleb 2020), from training to the segmentation that uses their weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from planewise.pretexts import choose_permutations

from tests.bundles.conftest import PUZZLES_OF_VOLUMES, parser_of, run_bundle, tiny_size, train, train_and_evaluate
from tests.bundles.test_runs import weights

PATCHES, TUMOURS = "pretext_relative_patch_location", "downstream_brain_tumour_segmentation"
JIGSAW = "pretext_jigsaw"
SHORT = {"max_epochs": 1, "val_interval": 1, "samples_per_epoch": 8}


@pytest.fixture(scope="module")
def patches(phantoms, tmp_path_factory) -> Path:
    """A run of relative patch location, with its evaluation."""
    folder = tmp_path_factory.mktemp("patches")
    train_and_evaluate(PATCHES, phantoms.volume.heads, folder, **SHORT)
    return folder


@pytest.fixture(scope="module")
def puzzles(phantoms, tmp_path_factory) -> Path:
    """A run of puzzles of volumes, with its evaluation."""
    folder = tmp_path_factory.mktemp("puzzles")
    train_and_evaluate(
        JIGSAW, phantoms.volume.heads, folder, "3d.yaml", **SHORT | PUZZLES_OF_VOLUMES | {"max_epochs": 2}
    )
    return folder


def test_the_tiles_of_a_volume_reach_the_network_in_the_order_of_the_bundles_permutations(phantoms, tmp_path):
    """Compare the tiles with a loop over the volume's cells."""
    where = {"datalist": str(phantoms.volume.heads), "output_dir": str(tmp_path)}
    parser = parser_of(JIGSAW, "train.yaml", "3d.yaml", **where | PUZZLES_OF_VOLUMES | {"tile_gap": 0})
    rows = choose_permutations(27, 20).tolist()
    batch = parser.get_parsed_content("train#dataset").__getitems__([0, 1, 2])
    made = parser.get_parsed_content("train#pretext")(batch)
    assert made["image"].shape == (3, 27 * 2, 5, 5, 5)
    for number, order in enumerate(made["permutation"].tolist()):
        assert order < 20
        for place, cell in enumerate(rows[order]):
            i, j, k = (5 * step for step in (cell // 9, cell // 3 % 3, cell % 3))
            wanted = batch["image"][number, :, i : i + 5, j : j + 5, k : k + 5]
            assert torch.equal(made["image"][number, 2 * place : 2 * place + 2], wanted)


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
        pytest.param(PATCHES, 6, ("patch_location", "places", 8), 24, marks=pytest.mark.slow),
        pytest.param("pretext_exemplar", 2 * 16, ("retrieval", "dimensions", 8), 16, marks=pytest.mark.slow),
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
