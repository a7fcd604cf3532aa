"""Test that the weights that ship with bundles work, and that the documents describe these weights."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, verify_net_in_out
from planewise.engines.run_record import plain
from planewise.networks import read_weights
from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.configs import settings_of
from planewise.workshop.packaging.data_format import onnx_options
from planewise.workshop.packaging.run import Run

from tests.bundles.conftest import SHIPS
from tests.conftest import ROOT
from tools.released.card import LARGEST_RELEASED, card_rows, card_scores, measured_on, with_release


def folder_of(name: str):
    return ROOT / "bundles" / name


def config_of(name: str, file: str) -> dict:
    return plain(yaml.safe_load((folder_of(name) / "configs" / file).read_text()))


@pytest.fixture(params=SHIPS)
def released(request) -> Run:
    return Run.of_weights(folder_of(request.param) / "models/model.pt")


def test_the_record_is_of_the_file_and_names_no_place(released):
    content = json.loads((released.folder / "record.json").read_text())
    assert content["weights_sha256"] == hashlib.sha256(released.weights.read_bytes()).hexdigest()
    assert released.ships and released.on_phantoms and "phantoms" in released.data
    assert released.weights.stat().st_size <= LARGEST_RELEASED
    assert len(content["commit"]) == 40 and "dirty" not in content["commit"]
    assert [place for place in ("/work/", "/home/", "/tmp/", "/Users/") if place in str(content)] == []


def test_the_configs_and_the_pages_are_of_these_weights(released):
    name = released.weights.parent.parent.name
    train, inference = config_of(name, "train.yaml"), config_of(name, "inference.yaml")
    assert settings_of(released, train, inference)["inference.yaml"] == {}
    if "features" in train:  # a forest has the same size as in the paper
        assert inference["features"] == released.config["features"] != train["features"]
    metadata = json.loads((folder_of(name) / "configs/metadata.json").read_text())
    assert metadata["eval_metrics"] == {"measured_on": measured_on(released)} | card_scores(released)
    assert len(metadata["eval_metrics"]) > 5
    readme = (folder_of(name) / "docs/README.md").read_text()
    assert readme == with_release(readme, card_rows(released)), (
        "tools/train_released_weights writes this part of the page"
    )


def test_they_load_strictly_into_the_network_of_inference(released):
    name = released.weights.parent.parent.name
    meta, file = (str(folder_of(name) / "configs" / part) for part in ("metadata.json", "inference.yaml"))
    verify_net_in_out("network_def", meta, file, device="cpu", bundle_root=str(folder_of(name)))
    parser = ConfigParser(config_of(name, "inference.yaml"))
    network = parser.get_parsed_content("network_def").eval()
    # load the float16 weights as MONAI's own loader does
    network.load_state_dict(torch.load(released.weights, map_location="cpu", weights_only=True), strict=True)
    assert {value.dtype for value in network.parameters()} <= {torch.float32}, "a forest has buffers alone"
    read = read_weights(released.weights)
    assert all(torch.equal(value, read[key]) for key, value in network.state_dict().items())
    shape = onnx_options(Bundle(folder_of(name)))["input_shape"]
    with torch.no_grad():
        output = network(torch.randn(2, *shape[1:]))
    per_pixel = parser.get("inferer", {}).get("_target_") == "planewise.engines.SliceBatchInferer"
    assert output.isfinite().all() and output.shape[2:] == tuple(shape[2:] if per_pixel else ())
