"""Test that inference uses the settings with which the weights were trained, such as those of targets and network."""

from __future__ import annotations

from pydoc import locate
from typing import Any

import pytest
import yaml
from monai.transforms import RandomizableTrait
from planewise.engines.run_record import DEFINING, defining_settings, holds_code, measured_settings
from planewise.settings import FILES, NOT_COMPUTED
from planewise.workshop.packaging.configs import settings_of
from planewise.workshop.packaging.run import Run

from tests.bundles.conftest import BUNDLES, DECLARED
from tests.conftest import ROOT

#: Settings of how inference is executed, which do not depend on the weights: each config has its own values.
ITS_OWN = {"amp", "batch_size", "channels_last", "compile", "tf32", *NOT_COMPUTED, *FILES}


def config_of(name: str, file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "bundles" / name / "configs" / file).read_text())


def asked_by(config: dict[str, Any], part: Any) -> set[str]:
    """Top-level settings to which a part of a config refers, directly or through other settings."""
    settings = {key: value for key, value in config.items() if key not in ("train", "validate")}
    return defining_settings(settings | dict.fromkeys((*DEFINING, "dataset")) | {"network_def": part})


def lasting(part: Any) -> list[dict[str, Any]]:
    """The transforms in a part of a config, without the random ones: inference never meets their targets again."""
    if "transforms" in (part or {}):
        return [step for one in part["transforms"] for step in lasting(one)]
    made = locate(str((part or {}).get("_target_")))
    return [] if isinstance(made, type) and issubclass(made, RandomizableTrait) else [part]


@pytest.mark.parametrize("name", BUNDLES)
def test_what_makes_a_target_is_known_to_inference(name):
    train, inference = config_of(name, "train.yaml"), config_of(name, "inference.yaml")
    parts = [step for key in ("targets", "pretext") for step in lasting(train["train"].get(key))]
    declared = DECLARED[name].get("tests", {}).get("training_only", [])
    assert sorted(asked_by(train, parts) - set(inference)) == sorted(declared), (
        "inference.yaml lacks these settings of targets: add them; or declare those that only training uses under planewise, "
        "tests, training_only in metadata.json. Those of a random transform (RandomizableTrait) need neither"
    )


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
    # the number of channels must be the network's (`settings_of`)
    assert taken - {"channels"} == wanted - {"channels"}
