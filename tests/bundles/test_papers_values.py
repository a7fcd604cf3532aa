"""Test that configs have the papers' values: ``metadata.json`` declares these values, and the bundle's README cites the
sources, Taleb 2020 (sections 3 and 4, appendix A), Zhang 2024 (section 5.3) and the methods' own papers."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import pytest
import yaml
from planewise.pretexts.jigsaw_tiles import tile_sides

from tests.bundles.conftest import BUNDLES, DECLARED, RELEASED, UNPUBLISHED, plain_parser
from tests.conftest import ROOT

VALUES = {(name, file): values for name in BUNDLES for file, values in DECLARED[name].get("paper", {}).items()}


@pytest.mark.parametrize(("name", "file"), VALUES)
def test_configs_have_the_papers_values(name, file):
    parser = plain_parser(name, *dict.fromkeys(("train.yaml", file)))
    wanted = VALUES[name, file]
    assert wanted and {key: parser.get_parsed_content(key) for key in wanted} == wanted


#: Values that only one bundle has and that its ``metadata.json`` does not declare: from its paper, or our choice.
ALONE = {
    ("downstream_brain_tumour_segmentation", "tissues.yaml"): {"in_channels": 2},
    ("downstream_brain_tumour_segmentation", "train.yaml"): {
        "in_channels": 4,
        "channels": ["t1", "t1ce", "t2", "flair"],
    },
    ("downstream_cardiac_disease_classification", "train.yaml"): {"device": "cpu", "num_trees": 100},
    ("downstream_cardiac_lax_segmentation", "train.yaml"): {"l1": 0.0},
    ("downstream_cardiac_sax_segmentation", "resnet50.yaml"): {"stem_stride": 2},
    ("downstream_cardiac_sax_segmentation", "vit.yaml"): {"features": [64, 128, 256, 512]},
    ("downstream_cardiac_two_phase_classification", "train.yaml"): {
        "class_key": "group",
        "transfer": "frozen_encoder",
        "standardize": True,
        "slices": [0.3333, 0.6667],
        "patience": 30,
        "encoder_lr_factor": 0.1,
    },
    ("downstream_knee_injury_classification", "probe.yaml"): {"probe_counts": [16, 64, 240]},
    ("downstream_knee_injury_classification", "train.yaml"): {
        "transfer": "all",
        "tasks": ["abnormal", "acl", "meniscus"],
        "dropout": 0.5,
    },
    ("downstream_retinopathy_grading", "probe.yaml"): {"probe_counts": [9, 18, 45, 90]},
    ("downstream_retinopathy_grading", "train.yaml"): {
        "class_key": "grade",
        "grades": ["none", "mild", "moderate", "severe", "proliferative"],
        "head_features": [],
        "max_epochs": 60,
        "lr_step": 20,
        "brightness": 0.1,
        "contrast_range": [0.8, 1.25],
    },
    ("pretext_cardiac_lax_position", "train.yaml"): {"views": ["sax", "2ch"], "ends": ["L", "SP"]},
    ("pretext_cardiac_sax_position", "knee.yaml"): {"square_size": 10.0, "square_step": 25.0, "max_residual": 5.0},
    ("pretext_cardiac_sax_position", "train.yaml"): {"views": ["4ch", "2ch"], "ends": ["L", "AS"]},
    ("pretext_contrastive_predictive_coding", "train.yaml"): {"num_negatives": 16, "val_samples": 50},
    ("downstream_pancreas_segmentation", "train.yaml"): {"axcodes": "RAS"},
    ("pretext_jigsaw", "3d.yaml"): {"volumes": True, "axcodes": "LPS", "standardize_tiles": False, "tile_gap": 0.07},
    ("pretext_jigsaw", "photograph.yaml"): {
        "standardize_tiles": False,
        "tile_gap": 0.04,
        "num_permutations": 1000,
    },
    ("pretext_jigsaw", "train.yaml"): {"standardize_tiles": True, "head_features": [4096]},
    # He et al. 2022, tables 8 and 9 and section 4.1
    ("pretext_masked_autoencoder", "vit.yaml"): {
        "lr_epoch_level": False,
        "decoder_hidden_size": 512,
        "decoder_num_layers": 8,
        "decoder_num_heads": 16,
        "max_epochs": 800,
        "warmup_epochs": 40,
        "base_learning_rate": 1.5e-4,
        "betas": [0.9, 0.95],
        "weight_decay": 0.05,
    },
    ("pretext_masked_autoencoder", "train.yaml"): {"normalize_patches": False},
    ("pretext_cardiac_location", "train.yaml"): {"mapping": "linear"},
    ("pretext_knee_location", "train.yaml"): {"mapping": "sine"},
    ("pretext_exemplar", "train.yaml"): {"negatives_from": "batch"},
    ("pretext_slice_order", "knee.yaml"): {"start": "on the patient's right"},
    ("pretext_relative_patch_location", "2d.yaml"): {"patch_jitter": 3},
    ("pretext_relative_patch_location", "photograph.yaml"): {"patch_jitter": 3},
    ("pretext_simclr", "densenet121.yaml"): {"patience": 50, "blur_prob": 0.0},
    ("pretext_simclr", "train.yaml"): {"intensity_prob": 0.0},
    ("pretext_simclr", "vgg16.yaml"): {"patience": 50, "blur_prob": 0.0},
    ("pretext_slice_order", "train.yaml"): {"head_features": [512]},
}


def test_a_number_is_declared_or_like_another_bundles():
    """A misprint would match no other value."""
    found: dict[tuple, dict] = {}
    bundles: dict[tuple, set[str]] = defaultdict(set)
    # small versions for phantoms differ; inference follows the weights that ship (test_wiring.py)
    for path in sorted((ROOT / "bundles").glob("*/configs/*.yaml")):
        if path.stem.endswith("demo") or path.name in ("evaluate.yaml", "inference.yaml", "multi_gpu_train.yaml"):
            continue
        name, config = path.parents[1].name, yaml.safe_load(path.read_text())
        if name not in RELEASED:
            continue
        plain = {key: value for key, value in config.items() if type(value) in (bool, int, float, str, list)}
        # texts and Booleans of different files may be equal by chance, so they are compared only between files of the
        # same name
        found[name, path.name] = {
            (key, path.name if type(value) in (bool, str) else "", json.dumps(value)): value
            for key, value in plain.items()
            if not re.search(r"[$@]", str(value))
        }
        for value in found[name, path.name]:
            bundles[value].add(name)
    alone: dict[tuple, dict] = defaultdict(dict)
    for (name, file), values in found.items():
        for value, written in values.items():
            if len(bundles[value]) == 1 and value[0] not in VALUES.get((name, file), ()):
                alone[name, file][value[0]] = written
    assert alone == ALONE, (
        "only one bundle has this value. Correct it if it is a misprint; otherwise declare it under `paper` in the bundle's "
        "metadata.json, or add it to ALONE. Remove values from ALONE that several bundles now have"
    )


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


def test_all_five_pretexts_learn_from_photographs():
    taleb = [
        name for name in BUNDLES if "photograph.yaml" in DECLARED[name].get("paper", {}) and name != "pretext_simclr"
    ]
    assert len(taleb) == 5


def test_a_jitter_of_three_voxels_between_tiles():
    assert tile_sides((128,) * 3, 3, plain_parser("pretext_jigsaw", "3d.yaml")["tile_gap"]) == (39,) * 3
