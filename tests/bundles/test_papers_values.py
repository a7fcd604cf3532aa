"""Test that configs have the papers' values, which ``metadata.json`` declares and the bundle's README gives sources for:
Taleb 2020 (sections 3 and 4, appendix A), Zhang 2024 (section 5.3) and the methods' own papers."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from planewise.pretexts.jigsaw_tiles import tile_sides

from tests.bundles.conftest import BUNDLES, DECLARED
from tests.conftest import ROOT

VALUES = {(name, file): values for name in BUNDLES for file, values in DECLARED[name].get("paper", {}).items()}


@pytest.mark.parametrize(("name", "file"), VALUES)
def test_configs_have_the_papers_values(name, file):
    folder = ROOT / "bundles" / name / "configs"
    parser = ConfigParser(
        ConfigParser.load_config_files([str(folder / f) for f in dict.fromkeys(("train.yaml", file))])
    )
    wanted = VALUES[name, file]
    assert wanted and {key: parser.get_parsed_content(key) for key in wanted} == wanted


@pytest.mark.parametrize("name", [name for name in BUNDLES if name.startswith("pretext_")])
def test_every_pretext_declares_values_for_each_kind_of_images(name):
    """For its `train.yaml` and for the overlays of other images; those of hearts and knees have a test of their own."""
    if any(body in name for body in ("_cardiac_", "_knee_")) and name != "pretext_cardiac_sax_position":
        return
    folder = ROOT / "bundles" / name / "configs"
    overlays = {file for file in ("knee.yaml", "photograph.yaml", "2d.yaml", "3d.yaml") if (folder / file).is_file()}
    assert DECLARED[name]["paper"].keys() >= overlays | ({"train.yaml"} if "_cardiac_" not in name else set())


def test_all_five_pretexts_learn_from_photographs():
    assert sum("photograph.yaml" in DECLARED[name].get("paper", {}) for name in BUNDLES) == 5


def test_a_jitter_of_three_voxels_between_tiles():
    settings = ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles/pretext_jigsaw/configs/3d.yaml")))
    assert tile_sides((128,) * 3, 3, settings["tile_gap"]) == (39,) * 3
