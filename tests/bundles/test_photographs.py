"""Test photographs (Taleb 2020, section 4.3), from pretexts without grades to the bundle that learns the grades."""

from __future__ import annotations

import json
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from planewise.data import load_datalist
from planewise.exams import find_volumes

from tests.bundles.conftest import parser_of, run_bundle
from tests.bundles.test_runs import same, weights
from tests.bundles.test_volumes import parts
from tests.conftest import ROOT
from tests.kinds import others_slow

GRADING, ROTATION = "downstream_retinopathy_grading", "pretext_rotation"
CODING, JIGSAW, SIMCLR = "pretext_contrastive_predictive_coding", "pretext_jigsaw", "pretext_simclr"
#: Sizes for a pretext on photographs; its own demo is for volumes.
SMALL = {"init_features": 8, "growth_rate": 4, "blocks": [1, 1, 1, 1], "image_size": 32, "in_channels": 3}
#: The paper's five pretexts and SimCLR, each with the other settings that make it small. Three patches a side are about 32
#: pixels wide.
PRETEXTS = {
    CODING: {
        "image_size": 96,
        "patches_per_side": 5,
        "num_negatives": 4,
        "embedding": [16, 8],
        "context_features": 8,
        "val_samples": 8,
    },
    "pretext_exemplar": {"code_features": 8, "val_samples": 8},
    JIGSAW: {"image_size": 96, "num_permutations": 20, "patch_features": 8, "head_features": [8]},
    "pretext_relative_patch_location": {
        "image_size": 96,
        "patch_jitter": 1,
        "patch_features": 8,
        "head_features": [8],
        "val_samples": 8,
    },
    ROTATION: {"val_samples": 8},
    SIMCLR: {"projection": [8, 4]},
}
SHORT = {"max_epochs": 2, "samples_per_epoch": 8}


def test_training_and_inference_see_the_same_photograph(phantoms):
    datalist = phantoms.photograph.graded
    item = load_datalist(datalist, "test")[0]
    trained = parser_of(GRADING, "train.yaml").get_parsed_content("train#preprocessing")(dict(item))["image"]
    preprocessing = parser_of(GRADING, "inference.yaml").get_parsed_content("preprocessing")
    inferred = preprocessing(find_volumes(datalist)[0])["image"]
    assert trained.shape == (3, 32, 32) and torch.equal(trained.as_tensor(), inferred.as_tensor())
    assert torch.equal(trained.affine, inferred.affine)


def pretrained(name: str, datalist: Path, folder: Path) -> Path:
    """Train and evaluate a pretext on photographs, including those without a grade."""
    settings = {"datalist": str(datalist), "output_dir": str(folder), "max_epochs": 1, "val_interval": 1}
    settings |= SMALL | PRETEXTS[name] | {"samples_per_epoch": 8, "batch_size": 4, "progress": False}
    configs = ("train.yaml", "evaluate.yaml", "photograph.yaml")
    run_bundle(name, *configs, run_id="train_and_evaluate", **settings)
    return folder


#: Numbers that the scores of the other pretexts contain, by hand: each of 8 photographs of 5 x 5 patches has 20
#: predictions one row ahead and 15 two rows ahead, each with 4 negatives.
COUNTED = {
    CODING: ("prediction", {"predictions": 8 * 35, "chance": 1 / 5, "chance_of_all": 1 / 25}),
    "pretext_exemplar": ("retrieval", {"dimensions": 8}),
    JIGSAW: ("jigsaw", {"permutations": 20}),
    "pretext_relative_patch_location": ("patch_location", {"places": 8, "queries": 8}),
    SIMCLR: ("retrieval", {"candidates": 3}),
}


@pytest.mark.parametrize("name", others_slow(COUNTED, [JIGSAW]))
def test_other_pretexts_learn_from_photographs_and_their_weights_go_on_to_grades(name, phantoms, tmp_path):
    datalist = phantoms.photograph.graded
    run = pretrained(name, datalist, tmp_path / "pretext")
    scores = json.loads((run / "validation/metrics.json").read_text())
    part, counted = COUNTED[name]
    assert scores["photographs"] > 0 and scores[part].items() >= counted.items()
    assert (run / "validation/photographs.csv").is_file()
    # the run that wrote the weights records its configs and sizes, so inference needs neither
    folder = ROOT / "bundles" / name
    where = {"input": str(datalist), "num_exams": 1, "output_dir": str(tmp_path / "out"), "weights": str(run)}
    file = str(folder / "configs/inference.yaml")
    monai.bundle.run(config_file=file, logging_file=False, bundle_root=str(folder), **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    before = parts(weights(run), "encoder")
    assert np.load(features).shape == (1, len(before["encoder.features.norm5.weight"]))
    settings = {"datalist": str(datalist), "pretrained": str(run), "frozen_epochs": 2, **SHORT, "max_epochs": 1}
    run_bundle(GRADING, "train.yaml", output_dir=tmp_path / "grades", **settings)
    assert same(parts(weights(tmp_path / "grades"), "encoder"), before), (
        "a frozen encoder keeps its weights and statistics"
    )
