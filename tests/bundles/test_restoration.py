"""Test bundles that restore corrupted slices: encoder and decoder are transferred, on hearts and on knees."""

from __future__ import annotations

import json
import logging

import monai
import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.networks import AlexNetEncoder, load_pretrained
from torch import nn

from tests.bundles.conftest import run_bundle
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import weights
from tests.conftest import ROOT

restoring = pytest.mark.parametrize("bundle", ["pretext_models_genesis", "pretext_masked_autoencoder"])


class Recorder(nn.Module):
    """Records its inputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return self.network(image)


def check_files(folder, features: int) -> None:
    (file,) = folder.rglob("features.npy")
    found = np.load(file)
    assert found.shape[1] == features and np.isfinite(found).all()
    (restored,) = folder.rglob("*_restored.nii.gz")
    volume = np.asarray(nibabel.load(restored).dataobj)
    assert volume.shape[2] == len(found) and np.isfinite(volume).all() and volume.std() > 0
    assert list(folder.rglob("restored.png"))


@restoring
def test_encoder_and_decoder_go_to_the_segmentation(bundle, phantoms, tmp_path, caplog):
    run_bundle(
        bundle, "train.yaml", datalist=str(phantoms.cardiac.unlabelled), output_dir=str(tmp_path), samples_per_epoch=8,
        max_epochs=1, val_interval=1,
    )  # fmt: skip
    trained = weights(tmp_path)
    assert {name.split(".")[0] for name in trained} == {"encoder", "decoder", "head"}
    parser = parser_of("downstream_cardiac_sax_segmentation", phantoms.cardiac.labelled, tmp_path / "s")
    network = parser.get_parsed_content("network_def")
    with caplog.at_level(logging.INFO, logger="planewise"):
        load_pretrained(network, tmp_path)
    moved = network.state_dict()
    assert all(torch.equal(moved[name], value) for name, value in trained.items() if not name.startswith("head."))
    parts = {part: sum(name.startswith(part) for name in trained) for part in ("encoder", "decoder")}
    assert f"encoder {parts['encoder']}, decoder {parts['decoder']}" in caplog.text


@restoring
def test_scores_are_of_the_pixels_that_are_learned(bundle, phantoms, tmp_path):
    """The mean used for comparison is that of the pixels that the pretext leaves unchanged."""
    config = ConfigParser.load_config_file(str(ROOT / "bundles" / bundle / "configs/evaluate.yaml"))
    (report,) = (entry for entry in config["evaluate"]["handlers"] if entry["_target_"].endswith(".PretextReport"))
    scores = report["collectors"][0]
    parser = parser_of(bundle, phantoms.cardiac.unlabelled, tmp_path)
    assert scores.get("hidden_only", False) == parser.get("loss").get("hidden_only", False)
    made = parser.get_parsed_content("train#pretext")({"image": torch.rand(8, 1, 48, 48)})
    changed = (made["image"] != made["restored"]) & ~made["hidden"]
    assert scores.get("spoilt", False) == bool(changed.any())


@pytest.mark.parametrize(
    "bundle", ["pretext_models_genesis", pytest.param("pretext_masked_autoencoder", marks=pytest.mark.slow)]
)
def test_on_knees_from_imagenets_file(bundle, phantoms, tmp_path):
    """configs/knee.yaml goes on top of all three."""
    torch.manual_seed(0)
    size = {"features": [8, 16, 16, 16, 16], "image_size": 64, "spacing": 2.2}
    encoder = AlexNetEncoder(size["features"]).state_dict()
    torch.save({**encoder, "classifier.6.weight": torch.zeros(10, 4)}, tmp_path / "alexnet.pth")
    run_bundle(
        bundle, "train.yaml", "evaluate.yaml", "knee.yaml", run_id="train_and_evaluate",
        datalist=str(phantoms.knee.unlabelled), output_dir=str(tmp_path / "run"), imagenet=str(tmp_path / "alexnet.pth"),
        samples_per_epoch=8, batch_size=4, max_epochs=1, val_interval=1, learning_rate=0.0, **size,
    )  # fmt: skip
    trained = weights(tmp_path / "run")
    assert all(torch.equal(trained[f"encoder.{key}"], value) for key, value in encoder.items())
    assert any(name.startswith("decoder.") for name in trained)
    scores = json.loads((tmp_path / "run/validation/metrics.json").read_text())
    assert scores["probe"]["location"]["slices"] > 0 and scores["restoration"]["images"] == scores["slices"]
    exam = min(path for path in phantoms.knee.dicom.iterdir() if path.is_dir())
    # the weights bring knee.yaml and the sizes
    folder = ROOT / "bundles" / bundle
    monai.bundle.run(
        config_file=str(folder / "configs/inference.yaml"), bundle_root=str(folder), logging_file=False,
        input=str(exam), weights=str(tmp_path / "run"), output_dir=str(tmp_path / "out"),
    )  # fmt: skip
    check_files(tmp_path / "out", 16)
