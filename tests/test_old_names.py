"""Test that configs with the names of the previous version still work."""

from __future__ import annotations

import inspect
import logging
import math

import planewise.augmentation
import planewise.engines
import planewise.geometry
import planewise.losses
import planewise.metrics
import planewise.networks
import planewise.preprocessing
import planewise.pretexts
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.augmentation import RandBlurBatchd
from planewise.evaluation import ScoredBatch
from planewise.old_names import ARGUMENTS, SETTINGS, with_new_names

from tests.conftest import ROOT

ROOMS = (
    planewise.augmentation,
    planewise.engines,
    planewise.networks,
    planewise.preprocessing,
    planewise.pretexts,
)


def test_an_old_name_makes_what_it_made_and_says_the_new_one(caplog):
    with caplog.at_level(logging.WARNING):
        loss = ConfigParser({"loss": {"_target_": "planewise.losses.RotationLoss"}}).get_parsed_content("loss")
    logits, turn = torch.randn(3, 4), torch.tensor([0, 3, 1])
    assert torch.equal(loss(logits, {"turn": turn}), planewise.losses.CrossEntropyLoss("turn")(logits, {"turn": turn}))
    assert "planewise.losses.RotationLoss is now CrossEntropyLoss, key: turn; " in caplog.text


@pytest.mark.parametrize(
    ("room", "old", "new"),
    [
        ("losses", "BootstrapLoss", "BYOLLoss"),
        ("losses", "ContrastiveLoss", "NTXentLoss"),
        ("losses", "FindingsLoss", "MultiLabelBCELoss"),
        ("losses", "GradeLoss", "OrdinalLoss"),
        ("losses", "JigsawLoss", "CrossEntropyLoss permutation"),
        ("losses", "PatchLocationLoss", "CrossEntropyLoss place"),
        ("losses", "RotationLoss", "CrossEntropyLoss turn"),
        ("augmentation", "RandPoseBatchd", "RandRotateZoomBatchd"),
        ("augmentation", "RandTurnBatchd", "RandFlipRotate90Batchd"),
        ("engines", "OtherTaskHandler", "AuxiliaryTaskHandler"),
        ("engines", "PretextTask", "AuxiliaryTask"),
        ("geometry", "VOLUME_TURNS", "VOLUME_ROTATIONS"),
        ("pretexts", "QuarterTurnsd", "RotationTargetsd turn"),
    ],
)
def test_every_old_name_leads_to_the_new_one(room, old, new):
    module, (name, *key) = getattr(planewise, room), new.split()
    found = getattr(module, old)
    assert getattr(found, "func", found) is getattr(module, name)
    assert getattr(found, "keywords", {}) == ({"key": key[0]} if key else {})


def test_a_metric_has_its_old_name_too(caplog):
    metric = {"_target_": "planewise.metrics.GradeKappa", "output_transform": "$lambda output: output"}
    metric = ConfigParser({"metric": metric}).get_parsed_content("metric")
    logits, grades = torch.randn(9, 4), torch.arange(9) % 5
    metric.update((logits, grades))
    assert metric.compute() == planewise.metrics.grade_kappa(logits, grades)
    assert "is now EpochScore, score: grade_kappa" in caplog.text


def test_a_name_that_never_was_is_refused_as_python_does():
    with pytest.raises(AttributeError, match=r"module 'planewise\.losses' has no attribute 'RotationLos'"):
        _ = planewise.losses.RotationLos
    assert not hasattr(planewise.metrics, "RotationLoss")


def test_targets_and_loss_of_an_old_config_fit_each_other(caplog):
    made = {
        "pretext": "planewise.pretexts.QuarterTurnsd",
        "loss": "planewise.losses.RotationLoss",
        "scores": "planewise.evaluation.TurnScores",
    }
    parser = ConfigParser({key: {"_target_": name} for key, name in made.items()})
    pretext, loss, scores = (parser.get_parsed_content(key) for key in made)
    batch = pretext({"image": torch.randn(4, 1, 6, 6)})
    scored = ScoredBatch(batch["image"], batch, torch.zeros(4, 4), torch.ones(4, dtype=torch.bool))
    assert torch.equal(scores.take(scored)["rotation"], batch["turn"])
    assert "turn" in batch and float(loss(torch.zeros(4, 4), batch)) == pytest.approx(math.log(4))
    assert planewise.geometry.PLANE_TURNS == 4 and "is now PLANE_ROTATIONS" in caplog.text


def test_arguments_have_their_old_names_too(caplog):
    old, new = RandBlurBatchd(probability=0.3), RandBlurBatchd(prob=0.3)
    assert old.prob == new.prob == 0.3
    assert caplog.text.count("RandBlurBatchd: probability is now prob; ") == 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'probabilty'"):
        RandBlurBatchd(probabilty=0.3)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_new_names_of_arguments_are_those_of_the_class(name):
    (found,) = {getattr(room, name) for room in ROOMS if hasattr(room, name)}
    arguments = inspect.signature(found).parameters.keys()
    assert arguments >= set(ARGUMENTS[name].values()) and not arguments & ARGUMENTS[name].keys()
    assert hasattr(found.__init__, "__wrapped__"), "the class must be decorated with old_arguments"


def test_an_old_name_means_the_same_to_settings_and_arguments():
    for own in ARGUMENTS.values():
        assert len({*own.values()}) == len(own), "two old names of a class stand for two arguments"
        for old, new in own.items():
            # the flip of Models Genesis's pretext has a setting of its own
            assert SETTINGS.get(old, new) in (new, {"beta": "auxiliary_interval", "flip": "flip_prob"}.get(old, new))
    files = ROOT.glob("bundles/*/configs/*.yaml")
    known = {key for file in files for key in yaml.safe_load(file.read_text())}
    assert set(SETTINGS.values()) <= known and not SETTINGS.keys() & known
    twice = [new for new in SETTINGS.values() if [*SETTINGS.values()].count(new) > 1]
    assert set(twice) == {"zoom"}


def test_no_config_that_ships_has_an_old_name(caplog):
    files = [*ROOT.glob("bundles/*/configs/*.yaml"), *ROOT.glob("bundles/*/models/record.json")]
    for file in files:
        content = yaml.safe_load(file.read_text())
        content = content["config"] if file.name == "record.json" else content
        assert with_new_names(content, str(file)) is content
    assert len(files) > 100 and not caplog.records


@pytest.mark.parametrize(("old", "pretexts", "augmentations"), [("mirror", 0.25, 0.0), ("flip", 0.4, 0.25)])
def test_the_old_names_of_two_flips_stay_apart(old, pretexts, augmentations):
    """Models Genesis has flips of its pretext and flips of the augmentation."""
    train = ConfigParser.load_config_file(ROOT / "bundles/pretext_models_genesis/configs/train.yaml")
    parser = ConfigParser(dict(with_new_names(train | {old: 0.25}, "here")))
    assert parser.get_parsed_content("train#pretext#flip_prob") == pretexts
    assert parser.get_parsed_content("train#augmentation#transforms#0#flip_prob") == augmentations


def test_a_config_with_old_names_becomes_one_with_new_names(caplog):
    affine = {"_target_": "planewise.augmentation.RandAffineBatchd", "rotate": 5.0, "scale": "@scale"}
    theirs = {"_target_": "theirs.Scale", "scale": "$[@scale[0], @rescale, 1]"}
    others = {"rescale": 2, "scales": 3, "both": "$@scales + @rescale"}
    old = {"zoom": [0.9, 1.1], **others, "train": [affine, theirs], "scale": [0.5, 2.0]}
    new = {"zoom": [0.5, 2.0], **others, "train": [dict(affine), dict(theirs)]}
    del new["train"][0]["scale"]
    new["train"][0]["zoom"] = "@zoom"
    new["train"][1]["scale"] = "$[@zoom[0], @rescale, 1]"
    assert with_new_names(old, "here") == new and old["scale"] == [0.5, 2.0]
    assert caplog.text.count("old names in here: scale is now zoom; ") == 1
    assert with_new_names(old, "here", ["zoom"]) == new | {"zoom": [0.9, 1.1]}, (
        "zoom on the command line takes precedence over the old name"
    )
    assert with_new_names(new, "here") is new
