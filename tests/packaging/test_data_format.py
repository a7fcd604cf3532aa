"""Test that the form of input and output in a package's metadata follows the settings of the run."""

from __future__ import annotations

import copy

import pytest
from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.data_format import adapt_format

from tests.packaging.conftest import source


def adapted(name, config, settings=(), of_photographs=False):
    """The forms of input and output of a bundle whose inference has these settings."""
    bundle = Bundle(source(name))
    form = copy.deepcopy(bundle.metadata["network_data_format"])
    network = bundle.network(config).eval()
    adapt_format(form, bundle.config("inference.yaml") | config, dict(settings), network, of_photographs)
    return form["inputs"]["image"], form["outputs"]["pred"]


@pytest.mark.parametrize(
    ("name", "config", "width"),
    [
        ("pretext_simclr", {"features": [4, 4, 6]}, 6),
        ("pretext_jigsaw", {"features": [4, 4, 4], "num_permutations": 30}, 30),
        ("pretext_slice_order", {"features": [4, 4, 4]}, 1),
        ("pretext_cardiac_orientation", {"features": [4, 4, 4]}, 2),
    ],
)
def test_outputs_without_names_are_counted(name, config, width):
    image, output = adapted(name, config)
    assert output["num_channels"] == width
    assert image == Bundle(source(name)).metadata["network_data_format"]["inputs"]["image"]


def test_every_piece_has_all_channels_and_slices_have_two_axes():
    config = {"in_channels": 3, "spatial_dims": 2, "features": [4, 4, 4]}
    image, output = adapted("pretext_relative_patch_location", config)
    assert image["num_channels"] == 6 and len(image["spatial_shape"]) == 2 and output["num_channels"] == 8
    assert image["channel_def"]["0"] == "piece 1, channel 1" and image["channel_def"]["5"] == "piece 2, channel 3"
    assert output["spatial_shape"] == []


def test_classes_and_channels_are_those_of_the_run():
    given = {"structures": {"1": "lesion"}}
    channels = {"channels": ["t1", "t2", "flair", "dwi"]}
    image, output = adapted("downstream_brain_tumour_segmentation", given | {"features": [4, 4, 4]}, given | channels)
    assert image["channel_def"] == dict(zip("0123", channels["channels"], strict=True))
    assert output["num_channels"] == 2 and output["channel_def"] == {"0": "background", "1": "lesion"}


DENSENET = {"_target_": "planewise.networks.DenseNetEncoder", "init_features": 4, "growth_rate": 4, "blocks": [1] * 4}
ALEXNET = {"_target_": "planewise.networks.AlexNetEncoder", "features": [4] * 5}


@pytest.mark.parametrize(("encoder", "formula"), [(None, "16*n"), (DENSENET, "32*n"), (ALEXNET, "64*n")])
def test_sides_are_those_that_the_networks_encoder_takes(encoder, formula):
    name, config = "pretext_rotation", {"features": [4, 4, 4], "spatial_dims": 2}
    if encoder:
        config["network_def"] = Bundle(source(name)).config("inference.yaml")["network_def"] | {"encoder": encoder}
    image, output = adapted(name, config)
    assert image["spatial_shape"] == [formula, formula] and output["num_channels"] == 4
