"""Test that configs have the papers' values: ``metadata.json`` declares these values, and the bundle's README cites the
sources, Taleb 2020 (sections 3 and 4, appendix A), Zhang 2024 (section 5.3) and the methods' own papers."""

from __future__ import annotations

import pytest

from tests.bundles.conftest import BUNDLES, DECLARED, UNPUBLISHED, plain_parser
from tests.conftest import ROOT

VALUES = {(name, file): values for name in BUNDLES for file, values in DECLARED[name].get("paper", {}).items()}


@pytest.mark.parametrize(("name", "file"), VALUES)
def test_configs_have_the_papers_values(name, file):
    parser = plain_parser(name, *dict.fromkeys(("train.yaml", file)))
    wanted = VALUES[name, file]
    assert wanted and {key: parser.get_parsed_content(key) for key in wanted} == wanted


@pytest.mark.parametrize("name", [name for name in BUNDLES if name.startswith("pretext_")])
def test_every_pretext_declares_values_for_each_kind_of_images(name):
    """The declared values cover `train.yaml` and the overlays for other images."""
    if name == "pretext_cardiac_lax_position":  # like the short-axis bundle's train.yaml, it declares no values
        return
    folder = ROOT / "bundles" / name / "configs"
    overlays = {file for file in ("knee.yaml", "photograph.yaml", "2d.yaml", "3d.yaml") if (folder / file).is_file()}
    # the short-axis bundle declares a paper's values only for knees, not for hearts
    if UNPUBLISHED in (folder / "train.yaml").read_text().split("\nimports:")[0]:
        return
    needed = overlays if name == "pretext_cardiac_sax_position" else overlays | {"train.yaml"}
    assert DECLARED[name]["paper"].keys() >= needed
