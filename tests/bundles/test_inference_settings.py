"""Test that inference uses the settings with which the weights were trained, such as those of targets and network."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import yaml
from planewise.engines.weights_settings import DEFINING, defining_settings, holds_code, measured_settings, settings_of
from planewise.not_computed import FILES, NOT_COMPUTED
from planewise.packaging.run import Run

from tests.bundles.conftest import BUNDLES, parser_of
from tests.conftest import ROOT

LOCATION = "pretext_cardiac_location"

#: Settings of how inference is executed, which do not depend on the weights: each config has its own values.
ITS_OWN = {"amp", "batch_size", "channels_last", "compile", "tf32", *NOT_COMPUTED, *FILES}
#: Settings that only training has, because they select or mask targets, or because they belong to targets that are
#: random or depend on other images.
OF_TRAINING_ALONE = {
    "missing_planes", "parallel_planes", "negatives_from", "num_negatives", "rows_ahead", "patch_jitter", "patch_overlap",
    "permutation_file", "tile_gap", "tile_size", "standardize_tiles", "normalize_patches",
    # random views and corruption
    "bias_field", "blur_prob", "blur_sigma", "brightness", "contrast_range", "flip_prob", "gamma", "inpaint_prob",
    "intensity_prob", "noise", "nonlinear_prob", "paint_prob", "pretext_flip_prob", "rotate", "rotate_prob", "shift",
    "shuffle_prob", "zoom", "zoom_prob",
}  # fmt: skip
OF_TRAINING_IN = {
    # inference finds the squares in the image and needs no planes
    "pretext_cardiac_lax_position": {"views"},
    "pretext_cardiac_sax_position": {"views"},
    # inference computes features of the whole image, without patches
    "pretext_contrastive_predictive_coding": {"patches_per_side"},
}


def config_of(name: str, file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "bundles" / name / "configs" / file).read_text())


def asked_by(config: dict[str, Any], part: Any) -> set[str]:
    """Top-level settings to which a part of a config refers, directly or through other settings."""
    settings = {key: value for key, value in config.items() if key not in ("train", "validate")}
    return defining_settings(settings | dict.fromkeys((*DEFINING, "dataset")) | {"network_def": part})


@pytest.mark.parametrize("name", BUNDLES)
def test_what_makes_a_target_is_known_to_inference(name):
    train, inference = config_of(name, "train.yaml"), config_of(name, "inference.yaml")
    parts = [train["train"].get(key) for key in ("targets", "pretext")]
    asked = asked_by(train, parts) - OF_TRAINING_ALONE - OF_TRAINING_IN.get(name, set())
    assert asked - set(inference) == set()


@pytest.mark.parametrize("name", BUNDLES)
def test_what_both_have_comes_with_the_weights(name):
    train, inference = config_of(name, "train.yaml"), config_of(name, "inference.yaml")
    shared = {
        key for key in train.keys() & inference.keys() if not isinstance(inference[key], dict) or key == "structures"
    }
    assert defining_settings(inference) >= shared - ITS_OWN - {"network"}
    assert not defining_settings(inference) & ITS_OWN


@pytest.mark.parametrize("name", BUNDLES)
def test_a_run_of_other_settings_is_read_as_it_was_trained(name, tmp_path):
    """Every number and text among a run's settings is used in inference, and settings that belong to inference alone do
    not change."""
    train, inference = config_of(name, "train.yaml"), config_of(name, "inference.yaml")
    plain = {key: value for key, value in train.items() if not isinstance(value, dict) and not holds_code(value)}
    others = {key: f"another {key}" for key in plain}
    inference |= measured_settings({}, inference)
    changed = settings_of(Run(tmp_path, tmp_path / "models/model.pt", train | others, {}), train, inference)
    wanted = {key for key in others.keys() & inference.keys() if not isinstance(inference[key], dict)} - ITS_OWN
    taken = {key for key, value in changed["inference.yaml"].items() if value == others.get(key)}
    assert taken == wanted


@pytest.mark.parametrize("mapping", ["linear", "sine"])
def test_locations_are_read_by_the_mapping_that_made_them(mapping, tmp_path):
    """With the sine, both ends of a stack have location 0 (Zhang 2024 Eq. 4), so neither end is marked as the base."""
    weights, settings = tmp_path / "model.pt", {"mapping": mapping, "output_dir": str(tmp_path)}
    torch.save(parser_of(LOCATION, "train.yaml").get_parsed_content("network_def").state_dict(), weights)
    parser = parser_of(LOCATION, "inference.yaml", weights=str(weights), **settings)
    (label,) = parser.get_parsed_content("postprocessing").transforms[-1:]
    writer = parser.get_parsed_content("handlers")[-1]
    target = parser_of(LOCATION, "train.yaml", **settings).get_parsed_content("train#targets").transforms[0]
    predicted = torch.tensor([float(target({"location": k / 8})["location"]) for k in range(9)]).expand(1, 4, 4, 9)
    wanted = {"linear": "first slice is basal", "sine": "slice 5 of 9, from the stack's first end, is the middle"}
    item = label({"pred": predicted})
    assert item["result"]["verdict"] == wanted[mapping]
    writer.write("e1", tmp_path, {}, item | {"image": torch.rand(1, 4, 4, 9)})
    assert json.loads((tmp_path / "locations.json").read_text())["verdict"] == wanted[mapping]
