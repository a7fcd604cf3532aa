"""Test that masked autoencoders, with a U-Net and with a transformer, learn and explain bad input."""

from __future__ import annotations

import json
import math

import pytest
import torch
from planewise.networks import load_pretrained

from tests.bundles.conftest import infer, plain_parser, run_bundle
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_restoration import check_files
from tests.bundles.test_runs import interrupted, same, weights

MASKED = "pretext_masked_autoencoder"
#: A transformer as small as the tests' images.
VIT = {
    "patch_size": 8, "image_size": 48, "spacing": 5.8, "hidden_size": 48, "mlp_dim": 96, "num_layers": 3, "num_heads": 4,
    "decoder_hidden_size": 32, "decoder_num_layers": 1, "decoder_num_heads": 4,
}  # fmt: skip
SCHEDULE = {"warmup_epochs": 1, "batch_size": 8, "val_interval": 1, "samples_per_epoch": 16}


def test_the_transformer_trains_resumes_evaluates_infers_and_transfers(phantoms, tmp_path):
    datalist = str(phantoms.cardiac.unlabelled)
    settings = VIT | SCHEDULE | {"datalist": datalist, "max_epochs": 2}
    files = ("train.yaml", "evaluate.yaml", "vit.yaml")
    run_bundle(MASKED, *files, run_id="train_and_evaluate", output_dir=tmp_path / "a", **settings)
    interrupted(MASKED, *files, run_id="train_and_evaluate", after_epoch=1, output_dir=tmp_path / "b", **settings)
    run_bundle(MASKED, *files, run_id="train_and_evaluate", output_dir=tmp_path / "b", **settings)
    last = [weights(tmp_path / folder, "last.ckpt")["network"] for folder in "ab"]
    assert same(*last) and (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    scores = json.loads((tmp_path / "a/validation/metrics.json").read_text())
    assert scores["restoration"]["images"] == scores["slices"] and scores["restoration"]["hidden"]["restored"] > 0
    infer(MASKED, datalist, tmp_path / "a", tmp_path / "out", "vit.yaml", num_exams=1, **VIT)
    check_files(tmp_path / "out", 48)
    # sizes in the downstream bundles' own vit.yaml
    own = {
        name: VIT[name] for name in ("image_size", "patch_size", "hidden_size", "mlp_dim", "num_layers", "num_heads")
    }
    trained = weights(tmp_path / "a")
    for name, more in (("cardiac_sax_segmentation", {"features": [4, 6, 8]}), ("knee_injury_classification", {})):
        parser = plain_parser(f"downstream_{name}", "train.yaml", "vit.yaml")
        parser.update(own | more)
        network = load_pretrained(parser.get_parsed_content("network_def"), tmp_path / "a")
        encoder = {name: value for name, value in network.state_dict().items() if name.startswith("encoder.")}
        assert len(encoder) > 30 and all(torch.equal(trained[name], value) for name, value in encoder.items())


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
