"""Test that two configs are compared as the weights are when the second training loads them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from planewise.engines.planned_weights import encoder_difference
from planewise.engines.settings_check import planned_config
from planewise.errors import InputError
from planewise.networks import load_pretrained

from tests.conftest import ROOT

VOLUMES, SLICES = (
    ("pretext_rotation", "downstream_brain_tumour_segmentation"),
    ("pretext_jigsaw", "downstream_cardiac_sax_segmentation"),
)


def config(name: str, given: Mapping[str, str]):
    return planned_config([ROOT / "bundles" / name / "configs/train.yaml"], given, ROOT / "bundles" / name)


@pytest.mark.parametrize(
    ("reference", "said"), [("@enc", "features [4, 8] instead of [4, 16]"), ("$@enc", "other weights")]
)
def test_an_encoder_behind_a_reference_is_compared_as_if_it_stood_there(reference, said):
    first, second = (config(SLICES[1], {"features": str(features)}) for features in ([4, 8], [4, 16]))
    second["enc"] = second["network_def"]["encoder"]
    second["network_def"]["encoder"] = reference
    assert encoder_difference(first, second) == said


@pytest.mark.parametrize(
    ("names", "first", "second", "said"),
    [
        (VOLUMES, {"in_channels": 2}, {}, ""),
        (VOLUMES, {"in_channels": 3}, {}, "in_channels 3 instead of 4"),
        (VOLUMES, {"features": [4, 8], "in_channels": 2}, {"features": [4, 16]}, "features [4, 8] instead of [4, 16]"),
        (VOLUMES, {"spatial_dims": 2}, {}, "spatial_dims 2 instead of 3"),
        (SLICES, {}, {}, ""),
        (SLICES, {"stem_stride": 4}, {"stem_stride": 2}, "stem_stride 4 instead of 2"),
        # batch normalisation has weights that instance normalisation lacks
        (SLICES, {"norm": "instance"}, {}, "norm instance instead of batch"),
        # a run reports a width that is wrong by itself
        (SLICES, {"features": "wide"}, {}, ""),
    ],
)
def test_encoders_whose_weights_do_not_fit_differ(names, first, second, said, tmp_path):
    small = {"features": [4, 8]}
    given = [{key: str(value) for key, value in (small | settings).items()} for settings in (first, second)]
    parsers = [config(name, each) for name, each in zip(names, given, strict=True)]
    assert encoder_difference(*parsers) == said
    if said in ("", "norm instance instead of batch") and "wide" not in str(first):
        networks = [parser.get_parsed_content("network_def") for parser in parsers]
        torch.save(networks[0].state_dict(), tmp_path / "model.pt")
        load_pretrained(networks[1], tmp_path / "model.pt", ["encoder"])
    elif said:
        networks = [parser.get_parsed_content("network_def") for parser in parsers]
        torch.save(networks[0].state_dict(), tmp_path / "model.pt")
        with pytest.raises(InputError, match="does not fit the network"):
            load_pretrained(networks[1], tmp_path / "model.pt", ["encoder"])
