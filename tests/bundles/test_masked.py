"""Test that masked autoencoders, with a U-Net and with a transformer, learn and explain bad input."""

from __future__ import annotations

import json
import math

import nibabel
import numpy as np
import pytest

from tests.bundles.conftest import infer, run_bundle
from tests.bundles.test_pieces import parser_of

MASKED = "pretext_masked_autoencoder"
#: A transformer as small as the tests' images.
VIT = {
    "patch_size": 8, "image_size": 48, "spacing": 5.8, "hidden_size": 48, "mlp_dim": 96, "num_layers": 3, "num_heads": 4,
    "decoder_hidden_size": 32, "decoder_num_layers": 1, "decoder_num_heads": 4,
}  # fmt: skip
SCHEDULE = {"warmup_epochs": 1, "batch_size": 8, "val_interval": 1, "samples_per_epoch": 16}


def check_files(folder, features: int) -> None:
    (file,) = folder.rglob("features.npy")
    found = np.load(file)
    assert found.shape[1] == features and np.isfinite(found).all()
    (restored,) = folder.rglob("*_restored.nii.gz")
    volume = np.asarray(nibabel.load(restored).dataobj)
    assert volume.shape[2] == len(found) and np.isfinite(volume).all() and volume.std() > 0


def test_the_transformer_trains_evaluates_and_infers(phantoms, tmp_path):
    datalist = str(phantoms.cardiac.unlabelled)
    settings = VIT | SCHEDULE | {"datalist": datalist, "max_epochs": 2}
    files = ("train.yaml", "evaluate.yaml", "vit.yaml")
    run_bundle(MASKED, *files, run_id="train_and_evaluate", output_dir=tmp_path / "a", **settings)
    scores = json.loads((tmp_path / "a/validation/metrics.json").read_text())
    assert scores["restoration"]["images"] == scores["slices"] and scores["restoration"]["hidden"]["restored"] > 0
    infer(MASKED, datalist, tmp_path / "a", tmp_path / "out", "vit.yaml", num_exams=1, **VIT)
    check_files(tmp_path / "out", 48)


def test_the_transformers_schedule(phantoms, tmp_path):
    """He et al. 2022, Table 8."""
    settings = VIT | SCHEDULE | {"batch_size": 16, "samples_per_epoch": 64, "max_epochs": 10, "warmup_epochs": 2}
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path, "vit.yaml", **settings)
    optimizer, schedule = (parser.get_parsed_content(name) for name in ("optimizer", "lr_scheduler"))
    decaying, others = optimizer.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0) and decaying["betas"] == (0.9, 0.95)
    # matrices decay, biases and factors of normalisations do not
    assert {values.ndim > 1 for values in decaying["params"]} == {True}
    assert {values.ndim for values in others["params"]} == {1}
    network = parser.get_parsed_content("network")
    trained = [values for values in network.parameters() if values.requires_grad]
    assert len(decaying["params"]) + len(others["params"]) == len(trained)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    highest = 1.5e-4 * 16 / 256
    wanted = [highest * step / 8 for step in range(8)]
    wanted += [highest * (1 + math.cos(math.pi * step / 32)) / 2 for step in range(32)]
    assert rates == pytest.approx(wanted)
