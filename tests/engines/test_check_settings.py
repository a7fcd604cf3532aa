"""Test that a run's settings are converted and checked before anything is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigParser
from planewise.engines.check_settings import PARTS, SETTINGS, check_settings, checked, unknown_names
from planewise.errors import InputError

from tests.bundles.conftest import BUNDLES, RELEASED
from tests.conftest import ROOT
from tools.docs.settings import table

SIMCLR, ORIENTATION = "pretext_simclr", "pretext_cardiac_orientation"
PLANE = {"origin": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}
SEGMENTATION, TUMOURS = "downstream_cardiac_sax_segmentation", "downstream_brain_tumour_segmentation"


def a_parser(bundle: str, *files: str, **settings: Any) -> ConfigParser:
    folder = ROOT / "bundles" / bundle
    paths = [str(folder / "configs" / file) for file in files or ("train.yaml",)]
    parser = ConfigParser(ConfigParser.load_config_files(paths))
    parser.update({"bundle_root": str(folder), "device": "cpu"} | settings)
    return parser


@pytest.mark.parametrize("name", BUNDLES)
def test_every_config_of_a_bundle_is_valid_and_its_settings_are_declared(name):
    for file in sorted((ROOT / "bundles" / name / "configs").glob("*.yaml")):
        above = () if file.name in ("train.yaml", "inference.yaml") else ("train.yaml",)
        assert not set(checked(a_parser(name, *above, file.name))), file.name
        names = {key.lstrip("+~") for key in yaml.safe_load(file.read_text()) if "#" not in key}
        assert name not in RELEASED or names <= SETTINGS.keys() | PARTS, file.name


def test_the_table_of_the_documents_is_that_of_the_code():
    assert (ROOT / "tools/docs/settings.md").read_text() == table()


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("batch_size", [1, 16384], [0, 1.0, True, "4", 16385, None]),
        ("samples_per_exam", [1, "all"], [0, "none"]),
        ("patience", [0, None], [-1, 0.5]),
        ("learning_rate", [0, 0.1], [-0.1, "1e-3", float("nan"), float("inf"), True]),
        ("sigma", [0.1], [0, "3"]),
        ("flip_prob", [0, 1], [1.1, -0.1]),
        ("mask_ratio", [0.5], [0, 1]),
        ("background_prob", [0.5, None], [0, 1]),
        ("zoom", [[1, 1], [0.5, 2.0]], [[2, 1], [0, 1], [1], 1]),
        ("features", [[4], (4, 8)], [[], [0], ["4"], 4]),
        ("projection", [[4, 8]], [[4], [4, 8, 16]]),
        ("head_features", [[], [4]], [None, [0]]),
        ("views", [["2ch"], ["2ch", "4ch"]], ["2ch", [], ["2ch", "2ch"], [2]]),
        ("grades", [["none", "mild"]], [["none"]]),
        ("section", ["test", "all"], ["tests", None]),
        ("save_masks", [True], ["true", 1]),
        ("structures", [{"1": "RV"}, {2: "a", "1": "b"}], [{}, {"0": "a"}, {"1": "a", "2": "a"}, {"a": "b"}, ["RV"]]),
        ("amp", ["auto", False, "bfloat16"], ["float8", 0]),
        ("weights", ["a", "./1.10", None], ["", True, 1.1, 20240115]),  # MONAI makes numbers of 1.10 and 2024_01_15
    ],
)
def test_the_values_that_a_setting_takes(name, right, wrong):
    assert all(map(SETTINGS[name].takes, right)) and not any(map(SETTINGS[name].takes, wrong))


def test_words_of_a_command_line_are_converted():
    given = {
        "compile": "false", "channels_last": "off", "samples_per_epoch": "null", "patience": "none",
        "optimizer#amsgrad": "False", "train#sampler#samples_per_epoch": "null", "title": "none",
    }  # fmt: skip
    parser = a_parser(SIMCLR, "train.yaml", "evaluate.yaml", **given)
    assert checked(parser) == {
        "compile": False, "channels_last": False, "samples_per_epoch": None, "patience": None,
        "optimizer#amsgrad": False, "train#sampler#samples_per_epoch": None,
    }  # fmt: skip
    with pytest.raises(InputError):
        checked(a_parser(SIMCLR, save_masks="maybe"))


@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        ({"learning_rte": 1}, {"learning_rte": "learning_rate"}),
        ({"sigma": 1.0}, {"sigma": None}),  # of another bundle
        ({"train#traner": {}}, {"train#traner": "trainer"}),
        ({"optimizer#amsgrad": True, "train#trainer#epoch_length": 3, "x-sizes": [1]}, {}),
        ({"width": 3, "features": "$[@width]", "mine": ["$print(1)"], "title": "$@train#more", "train#more": 1}, {}),
    ],
)
def test_names_that_nothing_knows(given, unknown):
    parser = a_parser(SIMCLR, "train.yaml", "evaluate.yaml")
    known = dict(parser.get()) | {"train": dict(parser["train"])}
    parser.update(given)
    found = unknown_names(parser.get(), known)
    assert found.keys() == unknown.keys() and all(found[key] == near for key, near in unknown.items() if near)


@pytest.mark.parametrize(
    ("bundle", "given"),
    [
        (SEGMENTATION, {"image_size": 100}),  # levels of the U-Net
        (SEGMENTATION, {"transfer": "frozen_encoder"}),  # of classifications
        (SEGMENTATION, {"transfer": "all"}),  # no weights
        (SEGMENTATION, {"transfer": "scratch", "pretrained": "a.pt"}),
        (SEGMENTATION, {"structures": {"1": "RV", "3": "LV"}}),  # these are the network's classes
        ("pretext_jigsaw", {"image_size": 24}),  # tiles that are too small
        (SIMCLR, {"batch_size": "$1 - 1"}),
        (SIMCLR, {"device": "cuda:99"}),
    ],
)
def test_settings_that_do_not_go_together(bundle, given):
    with pytest.raises(InputError):
        parser = a_parser(bundle, **given)
        checked(parser)
        check_settings(parser)


def test_mask_values_may_have_gaps_where_the_config_renames_them():
    check_settings(a_parser(TUMOURS, structures={"1": "core", "4": "enhancing"}, regions={}))


def test_a_datalist_has_what_the_settings_name(tmp_path):
    file = tmp_path / "datalist.json"
    item = {"image": "a.nii", "planes": {"2ch": PLANE, "4ch": PLANE}, "location": 0.5}
    file.write_text(json.dumps({"planewise": {"stack": "sax"}, "training": [item], "test": []}))
    files = ("train.yaml", "evaluate.yaml")
    check_settings(a_parser(ORIENTATION, datalist=str(file)))
    check_settings(a_parser(ORIENTATION, *files, datalist=str(file), section="training"))
    for given in (
        {"section": "test"},
        {"section": "training", "views": ["rvot"]},
        {"section": "training", "views": ["sax"]},
    ):
        with pytest.raises(InputError):
            check_settings(a_parser(ORIENTATION, *files, datalist=str(file), **given))
    file.write_text(json.dumps({"training": [{"image": "a.nii"}]}))
    with pytest.raises(InputError):
        check_settings(a_parser("pretext_cardiac_location", datalist=str(file)))
