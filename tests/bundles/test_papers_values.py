"""The values of Taleb 2020 (sections 3 and 4, appendix A) stand in the configs."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from planewise.pretexts.jigsaw_tiles import tile_sides

from tests.conftest import ROOT

UNET = {"features": [32, 64, 128, 256, 512], "image_size": 128}
PRETEXT_3D = {**UNET, "learning_rate": 0.001}
SEGMENTATION = {**UNET, "learning_rate": 1e-5, "frozen_epochs": 25}
DENSENET121 = {"init_features": 64, "growth_rate": 32, "blocks": [6, 12, 24, 16], "image_size": 224}
VALUES = {
    ("pretext_contrastive_predictive_coding", "train.yaml"): {
        **PRETEXT_3D, "patch_overlap": 0.5, "embedding": [1024, 64], "loss_form": "infonce",
    },
    ("pretext_relative_patch_location", "train.yaml"): {
        **PRETEXT_3D, "patches_per_side": 3, "patch_jitter": 3, "patch_features": 64,
    },
    ("pretext_jigsaw", "3d.yaml"): {**PRETEXT_3D, "tiles_per_side": 3, "permutations": 1000, "patch_features": 64},
    ("pretext_rotation", "train.yaml"): PRETEXT_3D,
    ("pretext_exemplar", "train.yaml"): {
        **PRETEXT_3D, "margin": 1.0, "code_features": 1024,
        "rotate_share": 0.5, "intensity_share": 0.5, "scale_share": 0.2,
    },
    ("downstream_brain_tumour_segmentation", "train.yaml"): SEGMENTATION,
    ("downstream_pancreas_segmentation", "train.yaml"): SEGMENTATION,
    ("downstream_retinopathy_grading", "train.yaml"): {**DENSENET121, "learning_rate": 5e-5, "frozen_epochs": 5},
}  # fmt: skip
PHOTOGRAPHS = sorted(path.parents[1].name for path in ROOT.glob("bundles/pretext_*/configs/photograph.yaml"))
VALUES |= {(name, "photograph.yaml"): {**DENSENET121, "learning_rate": 5e-4} for name in PHOTOGRAPHS}


@pytest.mark.parametrize(("name", "file"), VALUES)
def test_configs_have_the_papers_values(name, file):
    folder = ROOT / "bundles" / name / "configs"
    parser = ConfigParser(
        ConfigParser.load_config_files([str(folder / f) for f in dict.fromkeys(("train.yaml", file))])
    )
    wanted = VALUES[name, file]
    assert {key: parser[key] for key in wanted} == wanted


def test_all_five_pretexts_learn_from_photographs():
    assert len(PHOTOGRAPHS) == 5


def test_a_jitter_of_three_voxels_between_tiles():
    settings = ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles/pretext_jigsaw/configs/3d.yaml")))
    assert tile_sides((128,) * 3, 3, settings["tile_gap"]) == (39,) * 3
