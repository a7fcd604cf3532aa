"""Test that the pretexts of two views, SimCLR and BYOL, learn, resume completely and report bad input."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundles.conftest import BUNDLES, run_bundle
from tests.bundles.test_runs import interrupted, same, weights
from tests.conftest import ROOT
from tests.kinds import others_slow

#: Bundles whose config makes two views of each slice.
TWO_VIEWS = [
    name
    for name in BUNDLES
    if "planewise.pretexts.TwoViewsd" in (ROOT / "bundles" / name / "configs/train.yaml").read_text()
]
#: Enough to learn something in seconds.
QUICK = {
    "features": [8, 16, 32],
    "learning_rate": 0.003,
    "projection": [64, 32],
    "batch_size": 32,
    "max_epochs": 1,
    "amp": False,
    # mild views, which a network learns to distinguish within seconds
    "zoom": [1.0, 1.2],
    "shift": 0.05,
    "flip_prob": 0.0,
    "noise": 0.0,
    "blur_prob": 0.0,
}


@pytest.mark.parametrize("name", others_slow(TWO_VIEWS, ["pretext_byol"]))
def test_what_is_kept_is_the_network_and_what_resumes_is_all(name, phantoms, tmp_path):
    settings = QUICK | {"datalist": str(phantoms.cardiac.unlabelled), "samples_per_epoch": 64, "val_interval": 1}
    settings |= {"max_epochs": 3}
    run_bundle(name, "train.yaml", **settings | {"output_dir": str(tmp_path / "whole")})
    interrupted(name, "train.yaml", after_epoch=1, **settings | {"output_dir": str(tmp_path / "parts")})
    run_bundle(name, "train.yaml", **settings | {"output_dir": str(tmp_path / "parts")})
    whole, parts = (weights(tmp_path / folder, "last.ckpt")["learner"] for folder in ("whole", "parts"))
    learner = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs/train.yaml"))["learner_def"]
    heads = {
        part
        for part, defined in learner.items()
        if isinstance(defined, dict) and defined["_target_"] != "torch.nn.Identity"
    }
    teacher = learner["_target_"].endswith(".ByolLearner")
    assert heads and heads <= {"projector", "predictor"}
    heads |= {"target_network", "target_projector"} if teacher else set()
    assert {key.split(".")[0] for key in whole} == {"network"} | heads
    assert same(whole, parts)
    assert {key.split(".")[0] for key in weights(tmp_path / "whole")} == {"encoder"}
    slow = [key for key in whole if key.startswith("target_network") and key.endswith("conv.weight")]
    assert bool(slow) == teacher
    assert not any(torch.equal(whole[key], whole[key.removeprefix("target_")]) for key in slow)
