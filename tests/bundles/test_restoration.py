"""Test bundles that restore corrupted slices: encoder and decoder are transferred, on hearts and on knees."""

from __future__ import annotations

import logging

import nibabel
import numpy as np
import pytest
import torch
from planewise.networks import load_pretrained

from tests.bundles.conftest import train
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import weights

restoring = pytest.mark.parametrize("bundle", ["pretext_models_genesis", "pretext_masked_autoencoder"])


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
    train(bundle, phantoms.cardiac.unlabelled, tmp_path, samples_per_epoch=8, max_epochs=1, val_interval=1)
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
