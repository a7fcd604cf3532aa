"""Test that `metadata.json` names the channels and values of the configs; MONAI Label and users of a package read these."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from planewise.geometry.squares import square_names
from planewise.workshop.packaging.data_format import sides as sides_of

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
}
#: The words for a name in the configs, if they are not the name itself.
CALLED = {
    "RV": "right ventricle", "LV": "left ventricle", "RA": "right atrium", "LA": "left atrium",
    "NOR": "normal", "MINF": "infarction", "DCM": "dilated", "HCM": "hypertrophic",
    "t1ce": "contrast-enhanced t1", "acl": "anterior cruciate",
}  # fmt: skip
#: The range of values that each scaling gives.
SCALED = {"StandardizeSliced": [-5, 15], "ScaleToUnitd": [0, 1]}


#: The form of a network's output, by the step of inference that reads it; all other outputs are numbers of a whole image.
FORMS = {
    "Activationsd": "segmentation",
    "FindPositionsd": "segmentation",
    "PlanViewsd": "heatmap",
    "LabelSlicesd": "regression",
    "RestoredImaged": "magnitude",
}


@functools.cache
def inference(name: str) -> dict[str, Any]:
    return ConfigParser.load_config_file(ROOT / "bundles" / name / "configs/inference.yaml")


@pytest.mark.parametrize("name", BUNDLES)
def test_channels_have_the_names_and_the_order_of_the_configs(name):
    config = inference(name)
    if "ends" in config:
        config = config | {"classes": ["background", *square_names(config["ends"])]}
    for setting, (side, tensor, first) in NAMING.items():
        names = config.get(setting) or ()
        if isinstance(names, dict):
            names = names.values()
        channels = METADATA[name]["network_data_format"][side][tensor]["channel_def"]
        for number, short in enumerate(names, first):
            words = channels[str(number)].lower()
            assert short.lower() in words or CALLED.get(short, short) in words, f"{setting}: {short}"


@pytest.mark.parametrize("name", [name for name in BUNDLES if name != "downstream_cardiac_disease_classification"])
def test_the_value_range_of_images_is_that_of_the_preprocessing(name):
    kinds = {transform["_target_"].rpartition(".")[2] for transform in inference(name)["preprocessing"]["transforms"]}
    (scaling,) = kinds & SCALED.keys()
    assert METADATA[name]["network_data_format"]["inputs"]["image"]["value_range"] == SCALED[scaling]


def tensors(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network's input and output."""
    form = METADATA[name]["network_data_format"]
    return form["inputs"]["image"], form["outputs"]["pred"]


def steps(name: str, block: str) -> list[dict[str, Any]]:
    return inference(name)[block]["transforms"]


def kinds(name: str, block: str) -> set[str]:
    return {step["_target_"].rpartition(".")[2] for step in steps(name, block)}


@pytest.mark.parametrize("name", BUNDLES)
def test_the_form_of_the_output_is_what_inference_makes_of_it(name):
    image, output = tensors(name)
    softmax = any(step.get("softmax") for step in steps(name, "postprocessing"))
    found = [form for step, form in FORMS.items() if step in kinds(name, "postprocessing")]
    if not softmax and "Activationsd" in kinds(name, "postprocessing"):
        found.remove("segmentation")
    (form,) = found or ["classes"]  # numbers of a whole image, such as classes, scores and embeddings
    kind = "probabilities" if form == "classes" else "image"
    assert (output["type"], output["format"]) == (kind, form), f"`pred` must have the type {kind} and the format {form}"
    assert output["spatial_shape"] == ([] if form == "classes" else image["spatial_shape"])
    assert {tensor["dtype"] for tensor in (image, output)} == {"float32"}
    # a puzzle's channels are patches
    pieces = inference(name)["network_def"].get("pieces", 1)
    assert image["is_patch_data"] == (pieces != 1 and name != "pretext_slice_order") and not output["is_patch_data"]
    # heatmaps and locations lie between 0 and 1, and so do the forest's probabilities; logits and embeddings do not
    bounded = form in ("heatmap", "regression") or name == "downstream_cardiac_disease_classification"
    wanted = image["value_range"] if form == "magnitude" else [0, 1] if bounded else [-20, 20]
    assert output["value_range"] == wanted


@pytest.mark.parametrize("name", BUNDLES)
def test_shapes_are_those_of_the_network(name):
    """On the device ``meta``, which computes shapes alone, the networks have their full width."""
    parser = ConfigParser(inference(name) | {"bundle_root": str(ROOT / "bundles" / name)})
    with torch.device("meta"):
        network = parser.get_parsed_content("network_def").eval()
    image, output = tensors(name)
    if image["type"] != "image":
        assert image["spatial_shape"] == output["spatial_shape"] == []
        return

    def out(divisor: int) -> list[int]:
        sides = [max(side // divisor, 1) for side in sides_of(image["spatial_shape"])]
        with torch.no_grad():
            return list(network(torch.zeros(2, image["num_channels"], *sides, device="meta")).shape)

    assert out(1) == [2, output["num_channels"], *sides_of(output["spatial_shape"])]
    page = (ROOT / "bundles" / name / "docs/README.md").read_text()
    written = re.findall(r"multiples of\s(\d+)(?:, at least (\d+))?", page)
    for each in written:
        assert image["spatial_shape"][:2] == [f"{each[1] or each[0]}*n"] * 2, "the README says otherwise"
    # half of a side is too small, except where the README allows it
    if not written and image["spatial_shape"][0] != "16*n":
        with pytest.raises((RuntimeError, ValueError)):
            out(2)
