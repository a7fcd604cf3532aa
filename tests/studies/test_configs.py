"""Test the configs of all studies: their numbers, and the rules that they have in common."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

CONFIGS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "tools/studies/configs").glob("*.yaml")}
#: Small studies, on phantoms or on patients at hand; all others are at the papers' size, on real data.
DEMOS = sorted(name for name, config in CONFIGS.items() if "phantom" in config or "patients" in config)
#: The patients of ACDC at hand.
PATIENTS = 79


def options(text: str) -> dict[str, Any]:
    """The numbers of a command's options: ``--split 0.5 0.5 --set a=1,2`` becomes ``{"split": [0.5, 0.5], "a": [1, 2]}``."""
    found: dict[str, Any] = {}
    name = ""
    for word in shlex.split(text):
        if word.startswith("--"):
            name = word[2:]
            found.setdefault(name, [])
            continue
        key, given, value = word.rpartition("=")
        for number in value.split(","):
            if re.fullmatch(r"-?[\d.]+", number):
                found.setdefault(key if given else name, []).append(float(number))
    return found


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_studies_are_run_alike(name):
    config, demo = CONFIGS[name], name in DEMOS
    at_full_size = not demo or name == "paper_width"
    assert config["device"] == ("cuda:0" if at_full_size else "cpu")
    assert config["threads"] == (4 if name == "paper_width" else 1 if demo else 8)
    assert config["seed"] == 0 and config.get("overlay") == (None if at_full_size else "demo.yaml")
    salt = CONFIGS["acdc" if "patients" in config else "heart"]["salt"]
    assert config.get("salt") == (salt if demo else None) and ("time" in config) == demo
    assert ("datalists" in config) is not demo
    assert config["pretext_bundle"] == f"pretext_{config['anatomy']}_{{pretext}}"
    assert config["out"] in (f"work/{name}", f"work/{name.replace('_', '-')}", "work/demo" if name == "quick" else "")
    assert config.get("view") == ("4ch" if "_lax_" in config["target"]["bundle"] else None)
    assert config.get("published", True) is (name != "quick")
    assert config["label_counts"] == sorted(set(config["label_counts"]))
    assert config["draws"] == list(range(len(config["draws"])))


@pytest.mark.parametrize("name", sorted(DEMOS))
def test_enough_exams_are_labelled(name):
    """All counts of labels but those of folds, which leave out a fifth, are at most the training exams."""
    config = CONFIGS[name]
    splits = {kind: options(text).get("split", [0.8, 0.2]) for kind, text in config.get("index", {}).items()}
    assert all(sum(split) == pytest.approx(1) for split in splits.values())
    exams = PATIENTS if "patients" in config else options(config["phantom"]["labelled"])["exams"][0]
    assert config["label_counts"][-1] <= exams * splits.get("labelled", [0.8])[0] + 1


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_methods_are_what_they_are_called(name):
    config = CONFIGS[name]
    methods = config["methods"]
    plain = dict.fromkeys(methods) if isinstance(methods, list) else methods
    for method, given in plain.items():
        given = given or {}
        overlays = str(given.get("overlay"))
        settings = given.get("overrides", {})
        assert ("2d.yaml" in overlays) == method.endswith("_2d")
        assert (given.get("masks") == "predicted") == method.endswith("_predicted")
        assert (settings.get("pretrain", {}).get("seed") == 1) == method.endswith("_again")
        assert "patients" in config or ("weights" in given) == (
            method.endswith("_dagger") or "_imagenet_" in method or method == "released"
        )
        if method.startswith("ssl_"):
            assert settings["finetune"] == {"transfer": method.removeprefix("ssl_")}
        if method.startswith(("vgg16", "densenet121")):
            backbone, pretraining, images = method.split("_")
            assert settings["finetune"]["images"] == images.replace("predicted", "segmented")
            assert settings.get("pretrain", {}).get("images", pretraining) == pretraining or pretraining == "imagenet"
            assert ("densenet121.yaml" in overlays) == (backbone == "densenet121")
        # a method without a pretext of its own is called like one
        named = re.sub("_(2d|again|dagger)$", "", method)
        if "pretext" in given and named in config["pretexts"]:
            assert given["pretext"] == named
