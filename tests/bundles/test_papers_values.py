"""The papers' values stand in the configs: of Taleb 2020 (sections 3 and 4, appendix A) and of what Zhang 2024 compares with
(its section 5.3, and the methods' own papers)."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from planewise.pretexts.jigsaw_tiles import tile_sides

from tests.conftest import ROOT

UNET = {"features": [32, 64, 128, 256, 512], "image_size": 128}
PRETEXT_3D = {**UNET, "learning_rate": 0.001, "foreground": 0.05}
SEGMENTATION = {**UNET, "learning_rate": 1e-5, "frozen_epochs": 25}
#: Of BraTS: values of the masks, and what is scored: whole tumour, tumour core, enhancing tumour.
BRATS = {
    "structures": {"1": "core", "2": "oedema", "4": "enhancing"},
    "regions": {"WT": ["core", "oedema", "enhancing"], "TC": ["core", "enhancing"], "ET": ["enhancing"]},
}
DENSENET121 = {"init_features": 64, "growth_rate": 32, "blocks": [6, 12, 24, 16], "image_size": 224}
CODING = {
    "patch_overlap": 0.5,
    "rows_ahead": 2,
    "context_features": 256,
    "embedding": [1024, 64],
    "loss_form": "infonce",
}
#: Zhang 2024, section 5.3.
HEARTS = {
    "spacing": 1.26, "image_size": 224, "features": [64, 128, 256, 512, 1024],
    "max_epochs": 500, "learning_rate": 1e-3, "lr_step": 100, "lr_gamma": 0.5, "batch_size": 20,
}  # fmt: skip
#: Contrast needs larger batches.
CONTRASTED = {**HEARTS, "batch_size": 256, "head_norm": "batch"}
KNEES = {
    "spacing": 0.5, "image_size": 256, "features": [64, 192, 384, 256, 256],
    "max_epochs": 100, "learning_rate": 1e-4, "lr_step": 50, "lr_gamma": 0.1, "weight_decay": 5e-5,
    "rotate": 25.0, "shift": 0.1, "flip": 0.5,
}  # fmt: skip
COMPARED = {
    "pretext_slice_order": HEARTS,
    "pretext_jigsaw": {**HEARTS, "tiles_per_side": 3, "permutations": 1000, "tile_gap": 0.14},
    "pretext_models_genesis": {
        **HEARTS, "mirror": 0.4, "shuffle": 0.5, "nonlinear": 0.9, "paint": 0.9, "in_paint": 0.2,
    },
    "pretext_simclr": {**CONTRASTED, "temperature": 0.1, "projection": [1024, 128]},
    "pretext_byol": {**CONTRASTED, "momentum": 0.99, "projection": [4096, 256]},
    "pretext_masked_autoencoder": {**HEARTS, "patch_size": 16, "mask_ratio": 0.75},
}  # fmt: skip
VALUES = {
    ("pretext_contrastive_predictive_coding", "train.yaml"): {**PRETEXT_3D, **CODING, "patches_per_side": 4},
    ("pretext_relative_patch_location", "train.yaml"): {
        **PRETEXT_3D, "patches_per_side": 3, "patch_jitter": 3, "patch_features": 64,
    },
    ("pretext_jigsaw", "3d.yaml"): {**PRETEXT_3D, "tiles_per_side": 3, "permutations": 1000, "patch_features": 64},
    ("pretext_rotation", "train.yaml"): PRETEXT_3D,
    ("pretext_exemplar", "train.yaml"): {
        **PRETEXT_3D, "margin": 1.0, "code_features": 1024,
        "rotate_share": 0.5, "intensity_share": 0.5, "scale_share": 0.2,
        "brightness": 0.125, "contrast_range": [0.5, 1.5], "scale": [0.8, 1.2],
    },
    ("downstream_brain_tumour_segmentation", "train.yaml"): SEGMENTATION | BRATS,
    ("downstream_pancreas_segmentation", "train.yaml"): SEGMENTATION,
    ("downstream_retinopathy_grading", "train.yaml"): {**DENSENET121, "learning_rate": 5e-5, "frozen_epochs": 5, "folds": 5},
}  # fmt: skip
VALUES |= {(name, "train.yaml"): values for name, values in COMPARED.items()}
VALUES |= {(name, "knee.yaml"): KNEES for name in COMPARED}
# images of knees have no cycle, and sagittal slices show front and head
POSITIONS_OF_KNEES = {"views": ["axial", "coronal"], "ends": ["A", "S"], "cycle_points": None}
VALUES["pretext_cardiac_sax_position", "knee.yaml"] = KNEES | POSITIONS_OF_KNEES
PHOTOGRAPHS = sorted(path.parents[1].name for path in ROOT.glob("bundles/pretext_*/configs/photograph.yaml"))
VALUES |= {(name, "photograph.yaml"): {**DENSENET121, "learning_rate": 5e-4} for name in PHOTOGRAPHS}
VALUES |= {(name, "2d.yaml"): {"learning_rate": 5e-4} for name in PHOTOGRAPHS}
for path in ROOT.glob("bundles/*/configs/2d.yaml"):
    # of the authors' code the batches, ours the slices of a volume
    VALUES.setdefault((path.parents[1].name, "2d.yaml"), {}).update({"batch_size": 64, "samples_per_exam": 8})
for overlay in ("2d.yaml", "photograph.yaml"):
    VALUES["pretext_contrastive_predictive_coding", overlay] |= {**CODING, "patches_per_side": 5}


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
