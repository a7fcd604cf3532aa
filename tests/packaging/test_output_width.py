"""Test that sizes of inputs and of outputs in a package's metadata follow the settings of the run."""

from __future__ import annotations

import json

import pytest
from planewise.packaging.bundle import Bundle
from planewise.packaging.configs import with_overlay, with_values
from planewise.packaging.package_bundle import _check_names, _write_format

from tests.conftest import ROOT
from tests.packaging.conftest import copied


def changed_bundle(name, folder, settings):
    """A copy of a bundle, without weights, whose inference has these settings."""
    copy = copied(name, folder)
    config = copy / "configs/inference.yaml"
    config.write_text(with_values(config.read_text(), settings))
    return copy


def written(copy, *given):
    """What `_write_format` says, and the form of input and output that it writes."""
    said: list[str] = []
    _write_format(Bundle(copy), said.append, *given)
    return said, json.loads((copy / "configs/metadata.json").read_text())["network_data_format"]


@pytest.mark.parametrize(
    ("name", "settings", "width", "changed"),
    [
        ("pretext_simclr", {"features": [4, 4, 6]}, 6, True),
        ("pretext_jigsaw", {"features": [4, 4, 4], "num_permutations": 30}, 30, True),
        ("pretext_slice_order", {"features": [4, 4, 4]}, 1, False),
        ("pretext_cardiac_orientation", {"features": [4, 4, 4]}, 2, False),
    ],
)
def test_metadata_says_how_many_numbers_the_network_gives(name, settings, width, changed, tmp_path):
    copy = changed_bundle(name, tmp_path, settings)
    before = (copy / "configs/metadata.json").read_text()
    said, form = written(copy)
    assert form["outputs"]["pred"]["num_channels"] == width
    assert ((copy / "configs/metadata.json").read_text() != before) == changed == bool(said)


def test_metadata_says_how_many_channels_the_network_takes(tmp_path):
    copy = changed_bundle("pretext_rotation", tmp_path, {"in_channels": 2})
    said, form = written(copy)
    assert said == ["as trained: 2 channels in the network's input"] and written(copy)[0] == []
    image = form["inputs"]["image"]
    assert image["num_channels"] == 2 and image["channel_def"] == {"0": "channel 1", "1": "channel 2"}


def test_every_piece_has_all_channels_and_slices_have_two_axes(tmp_path):
    settings = {"in_channels": 3, "spatial_dims": 2, "features": [4, 4, 4]}
    said, content = written(changed_bundle("pretext_relative_patch_location", tmp_path, settings))
    assert said == [
        "as trained: 6 channels in the network's input, images, not volumes",
        "as trained: 8 numbers in the network's output",
    ]
    image, output = content["inputs"]["image"], content["outputs"]["pred"]
    assert image["num_channels"] == 6 and len(image["spatial_shape"]) == 2 and output["num_channels"] == 8
    assert image["channel_def"]["0"] == "piece 1, channel 1" and image["channel_def"]["5"] == "piece 2, channel 3"
    assert output["spatial_shape"] == []


def test_the_output_need_not_name_the_channels_of_the_images():
    _check_names(Bundle(ROOT / "bundles/pretext_rotation"), {"channels": ["t1", "flair"], "head_features": [8]})


def test_the_classes_are_the_structures_of_the_run(tmp_path):
    given = {"structures": {"1": "lesion"}}
    copy = changed_bundle("downstream_brain_tumour_segmentation", tmp_path, given | {"features": [4, 4, 4]})
    said, content = written(copy, given | {"channels": ["t1", "t2", "flair", "dwi"]})
    assert said == [
        "as trained: 4 channels in the network's input: t1, t2, flair, dwi",
        "as trained: the classes background, lesion",
    ]
    assert content["inputs"]["image"]["channel_def"]["3"] == "dwi"
    output = content["outputs"]["pred"]
    assert output["num_channels"] == 2 and output["channel_def"] == {"0": "background", "1": "lesion"}


DENSENET = {"_target_": "planewise.networks.DenseNetEncoder", "init_features": 4, "growth_rate": 4, "blocks": [1] * 4}
ALEXNET = {"_target_": "planewise.networks.AlexNetEncoder", "features": [4] * 5}


@pytest.mark.parametrize(("encoder", "formula"), [(None, "16*n"), (DENSENET, "32*n"), (ALEXNET, "64*n")])
def test_sides_are_those_that_the_networks_encoder_takes(encoder, formula, tmp_path):
    copy = changed_bundle("pretext_rotation", tmp_path, {"features": [4, 4, 4], "spatial_dims": 2})
    if encoder:
        config = copy / "configs/inference.yaml"
        network = Bundle(copy).config("inference.yaml")["network_def"] | {"encoder": encoder}
        config.write_text(with_overlay(config.read_text(), {"network_def": network}))
    said, form = written(copy)
    assert form["inputs"]["image"]["spatial_shape"] == [formula, formula]
    sides = [f"as trained: sides of {formula} x {formula} pixels in the network's input"] if encoder else []
    assert said == ["as trained: images, not volumes", *sides, "as trained: 4 numbers in the network's output"]
