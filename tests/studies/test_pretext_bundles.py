"""Test which bundle and which configs a study uses for a pretext."""

from __future__ import annotations

import pytest

from tools.studies.pretext_bundles import bundle_of, overlays_of, pretexts_of


@pytest.fixture
def bundles(tmp_path):
    for bundle, configs in {
        "pretext_knee_location": ["demo.yaml"],
        "pretext_location": [],
        "pretext_cardiac_sax_position": ["demo.yaml", "knee.yaml"],
        "pretext_cardiac_orientation": ["demo.yaml"],
        "pretext_simclr": ["demo.yaml", "knee.yaml", "knee_demo.yaml"],
        "pretext_jigsaw": ["demo.yaml", "3d.yaml", "3d_demo.yaml", "2d.yaml"],
    }.items():
        (tmp_path / bundle / "configs").mkdir(parents=True)
        for config in configs:
            (tmp_path / bundle / "configs" / config).touch()
    return tmp_path


def test_an_anatomys_own_bundle_comes_before_one_for_all(bundles):
    pattern = "pretext_knee_{pretext}"
    assert bundle_of("location", pattern, bundles) == "pretext_knee_location"
    assert bundle_of("simclr", pattern, bundles) == "pretext_simclr"
    assert bundle_of("sax_position", pattern, bundles) == "pretext_cardiac_sax_position", (
        "this bundle has a config for knees"
    )
    assert bundle_of("sax_position", "pretext_cardiac_{pretext}", bundles) == "pretext_cardiac_sax_position"
    assert bundle_of("orientation", pattern, bundles) == "pretext_knee_orientation", (
        "the bundle for hearts has no config for knees"
    )
    assert bundle_of("position", pattern, bundles) == "pretext_knee_position", (
        "sax_position is another pretext, although it ends the same"
    )
    assert bundle_of("rotation", pattern, bundles) == "pretext_knee_rotation", "the name that the message gives"


def test_the_anatomys_config_comes_before_the_studys(bundles):
    assert overlays_of("pretext_simclr", "knee", "demo.yaml", bundles) == ["knee.yaml", "knee_demo.yaml"]
    assert overlays_of("pretext_simclr", "knee", "/a/wide.yaml", bundles) == ["knee.yaml", "/a/wide.yaml"]
    assert overlays_of("pretext_simclr", "cardiac", "demo.yaml", bundles) == ["demo.yaml"]
    assert overlays_of("pretext_location", "knee", None, bundles) == []
    assert overlays_of("pretext_jigsaw", "volume", "demo.yaml", bundles) == ["3d.yaml", "3d_demo.yaml"]


def test_a_study_gives_a_pretext_the_bundle_of_a_task(bundles):
    given = {"tissues": "downstream_brain_tumour_segmentation"}
    assert bundle_of("tissues", "pretext_volume_{pretext}", bundles, given) == given["tissues"]
    assert bundle_of("simclr", "pretext_volume_{pretext}", bundles, given) == "pretext_simclr"


def test_the_pretexts_of_an_anatomy_are_those_that_are_found_by_their_names(bundles):
    assert pretexts_of("pretext_knee_{pretext}", bundles) == ["jigsaw", "location", "sax_position", "simclr"]
    assert pretexts_of("pretext_cardiac_{pretext}", bundles) == [
        "jigsaw", "location", "orientation", "sax_position", "simclr"
    ]  # fmt: skip
