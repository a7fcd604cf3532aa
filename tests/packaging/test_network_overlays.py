"""Test which of a bundle's configs select another network, and whether a run used one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser
from planewise.packaging.bundle import Bundle
from planewise.packaging.network_overlays import bundle_of_run, network_overlays
from planewise.packaging.run import Run

from tests.bundles.conftest import BUNDLES
from tests.packaging.conftest import source

SEGMENTATION = "downstream_cardiac_sax_segmentation"


def as_monai_reads(name: str, *files: str) -> dict:
    parser = ConfigParser()
    parser.read_config([str(source(name) / "configs" / file) for file in files])
    return {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key}


def run_of(config: dict, folder: Path) -> Run:
    return Run(folder, folder / "models/model.pt", yaml.safe_load(yaml.safe_dump(config)), {})


@pytest.mark.parametrize("name", BUNDLES)
def test_a_run_with_a_config_of_the_bundle_is_one_of_the_bundle(name, tmp_path):
    bundle = Bundle(source(name))
    overlays = network_overlays(bundle)
    if name == SEGMENTATION:
        assert set(overlays) == {"resnet50.yaml", "vit.yaml"}, "evaluate.yaml and demo.yaml keep the network"
    for overlay in overlays:
        config = as_monai_reads(name, "train.yaml", overlay)
        found, which = bundle_of_run(bundle, run_of(config, tmp_path), tmp_path / overlay)
        assert which == overlay and found.name == name
        assert found.config("train.yaml") == config, "as MONAI reads the two"
        inference = as_monai_reads(name, "inference.yaml", overlay)
        written = found.config("inference.yaml")
        assert written["network_def"] == inference["network_def"]
        assert written["network"] == bundle.config("inference.yaml")["network"], (
            "inference loads only the package's own weights"
        )
        assert all(written[key] == inference[key] for key in written if key != "network")
        assert not set(overlays) & set(found.texts)
        # comments stay
        assert found.texts["train.yaml"].splitlines()[0] == bundle.texts["train.yaml"].splitlines()[0]


def test_other_runs_leave_the_bundle_as_it_is(tmp_path):
    bundle = Bundle(source(SEGMENTATION))
    own = as_monai_reads(SEGMENTATION, "train.yaml", "demo.yaml")
    strange = own | {"network_def": {"_target_": "builtins.open", "file": str(tmp_path / "x"), "mode": "w"}}
    for run in (None, run_of(own, tmp_path), run_of(strange, tmp_path)):
        assert bundle_of_run(bundle, run, tmp_path / "copy") == (bundle, None)
    assert not (tmp_path / "copy").exists() and not (tmp_path / "x").exists()
