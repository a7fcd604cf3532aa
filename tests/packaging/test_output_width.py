"""The width of outputs without names follows the run's settings; outputs with names are the bundle's."""

from __future__ import annotations

import json
import shutil

import pytest
from planewise.packaging.bundle import Bundle
from planewise.packaging.configs import with_values
from planewise.packaging.package_bundle import _write_width

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("name", "settings", "width", "changed"),
    [
        ("pretext_simclr", {"features": [4, 4, 6]}, 6, True),
        ("pretext_jigsaw", {"features": [4, 4, 4], "permutations": 30}, 30, True),
        ("pretext_slice_order", {"features": [4, 4, 4]}, 1, False),
        ("pretext_cardiac_orientation", {"features": [4, 4, 4]}, 2, False),
    ],
)
def test_metadata_says_how_many_numbers_the_network_gives(name, settings, width, changed, tmp_path):
    copy = shutil.copytree(ROOT / "bundles" / name, tmp_path / name, ignore=shutil.ignore_patterns("models"))
    config = copy / "configs/inference.yaml"
    config.write_text(with_values(config.read_text(), settings))
    before = (copy / "configs/metadata.json").read_text()
    said: list[str] = []
    _write_width(Bundle(copy), said.append)
    after = (copy / "configs/metadata.json").read_text()
    assert json.loads(after)["network_data_format"]["outputs"]["pred"]["num_channels"] == width
    assert (after != before) == changed == bool(said)
