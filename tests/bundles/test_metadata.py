"""Test that `metadata.json` names the channels and values of the configs; MONAI Label and users of a package read these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.evaluation import LabelSlicesd

from tests.bundles.conftest import BUNDLES, METADATA
from tests.conftest import ROOT

#: Settings that name channels, with the tensor and the number of the channel that the first value names. No channel stands
#: for the lowest grade.
NAMING = {
    "channels": ("inputs", "image", 0),
    "structures": ("outputs", "pred", 1),
    "views": ("outputs", "pred", 1),
    "classes": ("outputs", "pred", 0),
    "tasks": ("outputs", "pred", 0),
    "grades": ("outputs", "pred", -1),
}
#: The words for a name in the configs, if they are not the name itself.
CALLED = {
    "RV": "right ventricle", "LV": "left ventricle", "RA": "right atrium", "LA": "left atrium",
    "NOR": "normal", "MINF": "infarction", "DCM": "dilated", "HCM": "hypertrophic",
    "t1ce": "contrast-enhanced t1", "acl": "anterior cruciate",
}  # fmt: skip
#: The range of values that each scaling gives.
SCALED = {"StandardizeSliced": [-5, 15], "ScaleToUnitd": [0, 1]}


def inference(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(ROOT / "bundles" / name / "configs/inference.yaml")


@pytest.mark.parametrize("name", BUNDLES)
def test_channels_have_the_names_and_the_order_of_the_configs(name):
    config = inference(name)
    for setting, (side, tensor, first) in NAMING.items():
        names = config.get(setting) or ()
        if isinstance(names, dict):
            names = names.values()
        channels = METADATA[name]["network_data_format"][side][tensor]["channel_def"]
        for number, short in enumerate(names, first):
            if number >= 0:
                words = channels[str(number)].lower()
                assert short.lower() in words or CALLED.get(short, short) in words, f"{setting}: {short}"


@pytest.mark.parametrize("name", [name for name in BUNDLES if name != "downstream_cardiac_disease_classification"])
def test_the_value_range_of_images_is_that_of_the_preprocessing(name):
    kinds = {transform["_target_"].rpartition(".")[2] for transform in inference(name)["preprocessing"]["transforms"]}
    (scaling,) = kinds & SCALED.keys()
    assert METADATA[name]["network_data_format"]["inputs"]["image"]["value_range"] == SCALED[scaling]


@pytest.mark.parametrize(
    ("name", "thirds"),
    [
        ("pretext_cardiac_location", ["basal third", "middle third", "apical third"]),
        ("pretext_slice_order", ["basal third", "middle third", "apical third"]),
        ("pretext_knee_location", ["outer thirds", "middle third", "outer thirds"]),
    ],
)
def test_labels_of_slices_are_named_by_their_third_of_the_stack(name, thirds):
    heights = (np.arange(9) + 0.5) / 9
    mapping = inference(name).get("mapping", "linear")
    locations = np.sin(np.pi * heights) if mapping == "sine" else heights
    prediction = torch.as_tensor(locations).expand(1, 4, 4, 9)
    labels = LabelSlicesd(mapping)({"pred": prediction})["pred"][0, 0, 0].tolist()
    channels = METADATA[name]["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert [channels[str(label)] for label in labels] == [third for third in thirds for _ in range(3)]
