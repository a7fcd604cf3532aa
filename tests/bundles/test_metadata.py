"""Test that `metadata.json` names the channels and values of the configs; MONAI Label and users of a package read these."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from planewise.data.two_phase_dataset import PHASES
from planewise.evaluation import LabelSlicesd
from planewise.geometry.squares import square_names
from planewise.preprocessing import LoadPhotographd
from planewise.preprocessing.cardiac_features import cardiac_features
from planewise.pretexts import RelativePatchesd, SlicePairsd
from planewise.workshop.packaging.data_format import sides as sides_of

from tests.bundles.conftest import BUNDLES, DECLARED, METADATA, PRETEXTS, UNPUBLISHED
from tests.conftest import ROOT
from tests.packaging.test_versions import PINS

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
#: Types of the files in the data sets that are named under ``data_source``.
FILES = {
    "DSBCC": "dicom", "ACDC": "nibabel", "UK Biobank": "nibabel", "BraTS": "nibabel", "MSD": "nibabel", "fastMRI": "dicom",
    "MRNet": "numpy", "APTOS": "png",
}  # fmt: skip


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


def tensors(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network's input and output."""
    form = METADATA[name]["network_data_format"]
    return form["inputs"]["image"], form["outputs"]["pred"]


def steps(name: str, block: str) -> list[dict[str, Any]]:
    return inference(name)[block]["transforms"]


def kinds(name: str, block: str) -> set[str]:
    return {step["_target_"].rpartition(".")[2] for step in steps(name, block)}


def test_all_bundles_need_the_same_packages_and_have_the_same_authors():
    versions = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    for name, content in METADATA.items():
        named = {package: content[key] for package, key in versions.items()} | content["required_packages_version"]
        assert named == PINS, name
        assert [*content["changelog"]][-1] == content["version"], name
        assert f"Copyright (c) {content['authors']}" == content["copyright"], name
    for key in ("schema", "authors", "supported_apps"):
        assert len({json.dumps(content[key]) for content in METADATA.values()}) == 1, key


@pytest.mark.parametrize("name", BUNDLES)
def test_channels_are_numbered_and_named_alike(name):
    """Images of slices have one channel, puzzles one for each tile; an output that is no label map has one name for all
    its numbers.
    """
    image, output = tensors(name)
    for tensor in (image, output):
        assert [*tensor["channel_def"]] == [str(number) for number in range(len(tensor["channel_def"]))]
    names = [*image["channel_def"].values()]
    assert len(names) == image["num_channels"]
    if len(names) == 9:
        assert names == [f"tile {number + 1}" for number in range(9)]
    assert len(names) > 1 or names == ["image"]
    labels = [*output["channel_def"].values()]
    form = output["format"]
    # the maps of inference have a value for background, and one for each line, third or structure
    if form in ("heatmap", "segmentation", "regression") or len(labels) == 1:
        assert labels[0] == "background", (
            "name channel 0 of `pred` background: `inference.yaml` gives MONAI Label labels"
        )
    if form == "segmentation":
        assert len(labels) == output["num_channels"]


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


@pytest.mark.parametrize("name", BUNDLES)
def test_the_source_of_the_data_gives_their_type_and_modality(name):
    content, (image, _) = METADATA[name], tensors(name)
    source, types = content["data_source"], content["data_type"].split(", ")
    sets = sorted((source.index(known), kind) for known, kind in FILES.items() if known in source)
    assert {kind for _, kind in sets} <= set(types)
    # the papers' sets may have another type than those that people have
    assert types[0] == ("dicom" if "the paper: " in source else sets[0][1])
    # the readers of images, whatever the set
    readers = {
        "LoadExamd": {"dicom"} if name.startswith("pretext_knee_") else {"dicom", "nibabel"},
        "LoadCased": {"nibabel"},
        "LoadPhotographd": {"png", "jpeg"},
    }
    for reader, kinds_of_files in readers.items():
        if reader in kinds(name, "preprocessing"):
            assert kinds_of_files <= set(types)
    if "LoadExamd" not in kinds(name, "preprocessing"):
        assert "dicom" not in types
    modality = re.search(r"\b(MR|CT|photographs)\b", source)[1].replace("photographs", "fundus photograph")
    assert image.get("modality", modality) == modality
    wanted = "RGB" if modality == "fundus photograph" else "magnitude"
    assert image["format"] == wanted or image["type"] == "tuples"


@pytest.mark.parametrize("name", BUNDLES)
def test_texts_name_classes_in_the_order_of_the_channels(name):
    """`label_classes` and `pred_classes` are for people."""
    content, config = METADATA[name], inference(name)
    image, output = tensors(name)
    structures = config.get("structures", {})
    if structures:
        names = [*output["channel_def"].values()][1:]
        wanted = ", ".join(f"{value} {name}" for value, name in zip(structures, names, strict=True))
        assert content["label_classes"] == wanted
    assert content["label_classes"].startswith("no labels; ") == name.startswith("pretext_")
    numbered = [f"{number} {grade}" for number, grade in enumerate(config.get("grades", ()))]
    for text, words in (
        (content["image_classes"], [*image["channel_def"].values()]),
        (content["pred_classes"], [name.removesuffix(" line") for name in output["channel_def"].values()]),
        (content["label_classes"], [*config.get("classes", ()), *config.get("tasks", ()), *numbered]),
    ):
        places = [text.find(word) for word in words]
        if len(words) > 1 and min(places) >= 0:
            assert places == sorted(places), text
        assert min(places, default=0) >= 0 or text != content["label_classes"]


@pytest.mark.parametrize("name", BUNDLES)
def test_the_cited_papers_are_the_references(name):
    """The heads of configs cite them by their first author and their year."""
    content, folder = METADATA[name], ROOT / "bundles" / name
    head = re.match(r"(#.*\n)+", (folder / "configs/train.yaml").read_text())[0]
    cited = re.findall(r"\b([A-Z][a-z]+)(?: and [A-Z][a-z]+)? ((?:19|20)\d\d)\b", head)
    assert cited or UNPUBLISHED in head
    for author, year in cited[: 1 if "two_phase" in name else None]:
        assert [text for text in content["references"] if text.startswith(f"{author} ") and year in text], (
            author,
            year,
        )
    assert len(set(content["references"])) == len(content["references"])
    # a reference that several bundles have is the same text in each
    others = {text for other in METADATA.values() for text in other["references"]}
    for text in content["references"]:
        title = text.split(". ")[1]
        assert {other for other in others if title in other} == {text}
    assert content["intended_use"].startswith("Research. ") and "Not for diagnosis" in content["intended_use"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_listed_among_its_kind(name):
    declared = DECLARED[name]
    kind = name.rpartition("_")[2].replace("grading", "classification")
    planes = re.match("pretext_(cardiac|knee)_", name)
    wanted = kind if name not in PRETEXTS else f"pretexts {'that read planes' if planes else 'for any images'}"
    assert declared["group"] == wanted
    if name in PRETEXTS:
        method = declared["method"].lower().replace(" ", "_").removeprefix("anatomical_").rstrip("s")
        assert method in name
        # the same method has the same colour on hearts and on knees
        assert len({each["colour"] for each in DECLARED.values() if each.get("method") == declared["method"]}) == 1


def test_the_features_of_the_forest_are_named_in_their_order():
    volumes = {"LV": 120.0, "RV": 140.0, "myocardium": 100.0}, {"LV": 48.0, "RV": 70.0, "myocardium": 110.0}
    wanted = {
        "LV ejection fraction": 60.0,
        "RV ejection fraction": 50.0,
        "LV volume ES": 48.0,
        "LV volume ED": 120.0,
        "RV volume ES": 70.0,
        "RV volume ED": 140.0,
        "myocardial mass ES": 115.5,
        "myocardial mass ED": 105.0,
        "height": 170.0,
        "weight": 65.0,
    }
    image, _ = tensors("downstream_cardiac_disease_classification")
    found = cardiac_features(*volumes, height=170.0, weight=65.0)
    assert [wanted[name] for name in image["channel_def"].values()] == pytest.approx(found.tolist())
    assert image["type"], image["format"] == ("tuples", "features")
    assert image["value_range"][0] == 0 and image["value_range"][1] >= 202 + 150


def test_channels_of_pairs_and_colours_are_named_in_their_order(tmp_path):
    names = {name: [*tensors(name)[0]["channel_def"].values()] for name in BUNDLES}
    # each phase as TwoPhaseDataset orders them
    assert ["".join(word[0] for word in phase.split("-")).upper()
            for phase in names["downstream_cardiac_two_phase_classification"]] == [*PHASES]  # fmt: skip
    Image.fromarray(np.full((4, 4, 3), (200, 100, 50), np.uint8)).save(tmp_path / "photograph.png")
    loaded = LoadPhotographd("image")({"image": str(tmp_path / "photograph.png")})["image"]
    values = {"red": 200 / 255, "green": 100 / 255, "blue": 50 / 255}
    assert [values[name] for name in names["downstream_retinopathy_grading"]] == pytest.approx(
        loaded.flatten(1).amax(1)
    )
    # the middle patch alone is bright
    image = torch.zeros(4, 1, 9, 9, 9)
    image[:, :, 3:6, 3:6, 3:6] = 1.0
    bright = RelativePatchesd(3, jitter=0)({"image": image})["image"].flatten(2).mean(2)
    assert [name == "patch in the middle" for name in names["pretext_relative_patch_location"]] == bright[0].tolist()
    pair = SlicePairsd()({"image": torch.tensor([3.0, 7.0])[:, None, None, None], "position": torch.tensor([0.2, 0.8])})
    found = [{3.0: "first slice", 7.0: "second slice"}[value] for value in pair["image"].flatten().tolist()]
    assert names["pretext_slice_order"] == found and pair["first_is_nearer"].tolist() == [1.0]
