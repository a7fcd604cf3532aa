"""Test the pretraining budgets against steps worked out by hand, and which pretexts are listed together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from planewise.reports.study import classification
from planewise.reports.study.budgets import Budget, add_budgets, budgets_in_words, changes_in_words, steps_in_words
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.page import Page

from tests.reports.study.studies import study_folder, tables_of, write

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


def settings(sampler="Exam", **own):
    return {"train": {"sampler": {"_target_": f"planewise.data.{sampler}Sampler"}}, "batch_size": 16, **own}


@pytest.mark.parametrize(
    ("config", "epochs", "words"),
    [
        (settings(samples_per_epoch=800), 20, "1000 steps of 16 slices"),
        # 50 steps of 16 and one of 10
        (settings(samples_per_epoch=810), 20, "1020 steps of 16 slices"),
        (settings("Pair", samples_per_epoch=400, batch_size=8), 20, "1000 steps of 8 pairs of slices"),
        (
            settings("Series", samples_per_epoch=60, batch_size=1, max_slices=64),
            15,
            "900 steps of 1 series of up to 64 slices",
        ),
        (settings("Series", samples_per_epoch=60, batch_size=2, max_slices=None), 1, "30 steps of 2 whole series"),
        (settings(samples_per_epoch=80, batch_size=8, spatial_dims=3), 8, "80 steps of 8 volumes"),
        (settings(samples_per_epoch=5, batch_size=1, spatial_dims=3), 2, "10 steps of 1 volume"),
        (settings(samples_per_epoch=1280, batch_size=64, spatial_dims=2), 10, "200 steps of 64 slices"),
        (
            settings(samples_per_epoch=None, samples_per_exam=8, batch_size=256),
            500,
            "500 passes over the exams, 8 slices of each, in steps of 256 slices",
        ),
        (
            settings("Series", samples_per_epoch=None, batch_size=1, max_slices=64),
            100,
            "100 passes over the exams in steps of 1 series of up to 64 slices",
        ),
    ],
)
def test_steps_are_those_of_the_epochs_that_were_trained(config, epochs, words):
    assert steps_in_words(config, epochs) == words


def test_several_processes_share_an_epoch():
    # 769 slices, one too many for 4 processes: 768 in batches of 64, and no batch for the one
    assert steps_in_words(settings(samples_per_epoch=769), 10, processes=4) == "120 steps of 64 slices"


def test_photographs_are_called_so():
    config = settings(samples_per_epoch=320, spatial_dims=2)
    assert steps_in_words(config, 20, photographs=True) == "400 steps of 16 photographs"


def test_those_that_agree_are_named_together():
    slices, series = "1000 steps of 16 slices", "900 steps of 1 whole series"
    words = budgets_in_words(
        {
            "location": Budget(series, 0.001, ("a",)),
            "jigsaw": Budget(slices, 0.001, ("a",)),
            "sax_position": Budget(slices, 0.003, ("a",)),
            "simclr": Budget(slices, 0.001, ("b",)),
        }
    )
    assert words == (
        "Budgets of pretraining: 1000 steps of 16 slices for jigsaw, anatomical positions and SimCLR; 900 steps of 1 whole "
        "series for location. In each step the network sees one batch of this size and is updated once. The learning rate is "
        "at most 0.001; for anatomical positions 0.003. Different exams: SimCLR."
    )
    words = budgets_in_words({name: Budget(slices, 0.001, ("a",)) for name in ("jigsaw", "simclr")})
    assert "1000 steps of 16 slices for all." in words and "is at most 0.001. All learned from the same" in words
    assert budgets_in_words({"jigsaw": Budget(slices)}).startswith(
        "Budgets of pretraining: 1000 steps of 16 slices for jigsaw."
    )


def test_weights_that_the_study_did_not_train_are_set_apart(tmp_path):
    budgets = {name: Budget("20 steps of 16 slices", exams=("a",)) for name in ("jigsaw", "simclr")}
    words = budgets_in_words(budgets, {"released": "phantoms (270 training exams)", "mine": ""})
    assert "20 steps of 16 slices for all that were pretrained here." in words
    assert "All that were pretrained here learned from the same list of exams." in words
    apart = (
        "Some weights were trained outside this study, with other exams, steps and schedules, which may explain a part of "
        "their gain: the weights that ship (learned from phantoms (270 training exams)); mine (the exams from which "
        "they learned are not known here)."
    )
    assert (
        words.endswith(apart)
        and budgets_in_words({}, {"released": "phantoms (270 training exams)", "mine": ""}) == apart
    )
    (tmp_path / "record.json").write_text('{"data": "phantoms"}')
    weights = {"released": str(tmp_path / "model.pt"), "own": str(tmp_path / "s/a.pt"), "imagenet": "imagenet"}
    methods = {"none": {}} | {name: {"weights": path} for name, path in weights.items()}
    page = Page()
    add_budgets(page, StudyFolder(tmp_path / "s", {"pretexts": [], "methods": methods}))
    assert "gain: the weights that ship (learned from phantoms).</p>" in page.html("")


def test_random_changes_and_the_weights_that_go_on_are_named():
    slices, plain = "1000 steps of 16 slices", "rotate 15, zoom 0.9 to 1.1"
    words = budgets_in_words(
        {
            "jigsaw": Budget(slices, changes=plain, kept=0.875),
            "location": Budget(slices, changes=plain, kept=1.0),
            "byol": Budget(slices, changes="zoom 1 to 2, blur_prob 0.5", kept=1.0),
        }
    )
    assert words.endswith(
        "Images are augmented with the settings rotate 15, zoom 0.9 to 1.1; for BYOL zoom 1 to 2, blur_prob 0.5. "
        "Fine-tuning starts from the weights after this share of the steps: 100% for location and BYOL; 88% for jigsaw."
    )
    assert "Fine-tuning" not in budgets_in_words({"jigsaw": Budget(slices)})


def test_processor_times_are_sorted():
    words = budgets_in_words({"jigsaw": Budget("1 step", minutes=12.04), "simclr": Budget("1 step", minutes=2.5)})
    assert "Minutes of processor time, with validation and scoring: SimCLR 2.5 and jigsaw 12.0." in words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"rotate": 15.0, "zoom": [0.9, 1.1], "shift": 0.0, "flip_prob": 0.5},
            "rotate 15, zoom 0.9 to 1.1, flip_prob 0.5",
        ),
        ({"zoom": [1.0, 1.0], "gamma": "$@bias_field", "bias_field": 0.3}, "gamma $@bias_field, bias_field 0.3"),
        ({"noise": 0.0, "sigma": 6}, "none"),
        (
            {"rotate": 10.0, "intensity_prob": 0.5, "brightness": 0.125, "contrast_range": [0.5, 1.5]},
            "rotate 10, brightness 0.125, contrast_range 0.5 to 1.5, intensity_prob 0.5",
        ),
        # the probability, or all that it applies to, is off
        ({"intensity_prob": 0.0, "brightness": 0.125, "contrast_range": [0.5, 1.5]}, "none"),
        ({"intensity_prob": 0.5, "brightness": 0.0, "contrast_range": [1.0, 1.0]}, "none"),
        ({"rotate": 180.0, "rotate_prob": 0.5, "zoom": [0.8, 1.2], "zoom_prob": 0.0}, "rotate 180, rotate_prob 0.5"),
        ({"blur_prob": 0.5, "blur_sigma": [1.0, 1.0]}, "blur_sigma 1 to 1, blur_prob 0.5"),
        (
            {
                "noise": 0.1,
                "train": {
                    "augmentation": {
                        "transforms": [
                            {"_target_": "planewise.augmentation.RandIntensityBatchd", "noise": "@noise"},
                            {"_target_": "monai.transforms.RandGibbsNoised", "prob": 0.2},
                        ]
                    }
                },
            },
            "noise 0.1, RandGibbsNoised",
        ),
    ],
)
def test_changes_are_the_settings_that_change_something(settings, words):
    assert changes_in_words(settings) == words


def _transforms(value):
    """All augmentations of a config, at any depth."""
    if isinstance(value, dict) and str(value.get("_target_")).startswith("planewise.augmentation."):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for child in children for found in _transforms(child)]


@pytest.mark.parametrize("folder", sorted(BUNDLES.glob("pretext_*")), ids=lambda folder: folder.name)
def test_every_setting_of_a_bundles_augmentation_is_named(folder):
    config = yaml.safe_load((folder / "configs" / "train.yaml").read_text())
    settings = [value for found in _transforms(config) for value in found.values() if str(value).startswith("@")]
    names = {value.removeprefix("@") for value in settings} - {"spatial_dims"}
    # with all of them on
    words = changes_in_words(dict.fromkeys(names, 0.5))
    assert names and {text.split()[0] for text in words.split(", ")} == names


def test_the_note_is_of_what_the_runs_left(tmp_path):
    for name, rate, epochs in (("multitask", 0.003, (1, 2)), ("jigsaw", 0.001, (1, 2, 3))):
        folder = tmp_path / "pretrain" / name
        write(folder / "run.json", {"processes": 1, "files": {"unlabelled.json": "a hash"}})
        # training stopped early, so max_epochs is not the number of trained epochs
        config = settings(samples_per_epoch=32, max_epochs=9, learning_rate="$@base * 2", rotate=15.0)
        better = {"multitask": "current < best", "jigsaw": "True"}[name]
        config["validate"] = {"evaluator": {"metric_cmp_fn": f"$lambda current, best: {better}"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        # the lowest loss of multitask is in the first epoch
        rows = "".join(f"{epoch},{rate / epoch},{epoch}\n" for epoch in epochs)
        (folder / "history.csv").write_text("epoch,learning_rate,val_loss\n" + rows)
    # what the study writes; the job of jigsaw was resumed, so its time is not that of the whole training
    (tmp_path / "logs").mkdir()
    for name, log in (("multitask", "training: 1 epoch\n"), ("jigsaw", "resuming after epoch 1 of 3\n")):
        (tmp_path / "logs" / f"pretrain_{name}.log").write_text(log)
        (tmp_path / "logs" / f"pretrain_{name}.time").write_text("91,500 1,500\n")
    content = {"exams": 3, "macro_auc": 0.5, "auc": {"acl": 0.5}, "positives": {"acl": 1}}
    write(tmp_path / "finetune/none/16/0/test/metrics.json", content)
    study = study_folder(tmp_path, anatomy="knee", pretexts=["multitask", "jigsaw", "to_come"])
    _, page = tables_of(classification, study)
    (note,) = re.findall("<p class=note>(Budgets[^<]*)</p>", page.html(""))
    assert "4 steps of 16 slices for multitask; 6 steps of 16 slices for jigsaw." in note
    assert "settings rotate 15." in note and "of the steps: 50% for multitask; 100% for jigsaw." in note
    assert "Minutes of processor time, with validation and scoring: multitask 1.6. The" in note
    assert "is at most 0.003; for jigsaw 0.001." in note and "All learned from the same list of exams." in note


def test_epochs_without_a_learning_encoder_are_told(tmp_path):
    study, page = study_folder(tmp_path), Page()
    settings = {"frozen_epochs": 3, "max_epochs": 4, "pretrained": None}
    write(tmp_path / "finetune/none/1/0/config.yaml", settings)
    add_budgets(page, study)
    assert "frozen" not in page.html("")
    write(tmp_path / "finetune/multitask/1/0/config.yaml", settings | {"pretrained": "model.pt"})
    add_budgets(page, study)
    assert "In the first 3 of 4 epochs of fine-tuning, pretrained encoders are frozen" in page.html("")


def test_methods_that_are_not_fine_tuned_like_scratch_are_named_at_the_top(tmp_path):
    methods = ["none", "multitask", "simclr", "jigsaw", "byol"]
    study, page = study_folder(tmp_path, methods=methods), Page()
    settings = {"output_dir": "a", "pretrained": None, "transfer": None, "gamma": 0.0, "loss": {"_target_": "Dice"}}
    settings |= {"train": {"augmentation": {"_target_": "A"}, "handlers": []}}
    pretrained = {"output_dir": "b", "pretrained": "model.pt", "transfer": "decoder", "new_in_this_version": 1}
    own = {"loss": {"_target_": "Tversky"}, "train": settings["train"] | {"handlers": ["<EarlyStop>"]}}
    write(tmp_path / "finetune/none/1/0/config.yaml", settings)
    write(tmp_path / "finetune/multitask/1/0/config.yaml", settings | pretrained)
    add_budgets(page, study)
    assert page.html("") == Page().html("")
    for method, changed in {"simclr": own, "jigsaw": own, "byol": {"gamma": 0.3}}.items():
        write(tmp_path / f"finetune/{method}/1/0/config.yaml", settings | pretrained | changed)
        # a draw without training from scratch, and a later draw
        write(tmp_path / f"finetune/{method}/1/1/config.yaml", settings)
    page.add("<h2>The first heading</h2>")
    add_budgets(page, study)
    whole = Page()
    whole.extend(page)
    (words,) = re.findall("<p class=warning>(.*)</p>\n<details>", whole.html(""))
    assert words == (
        "Some methods were fine-tuned with settings that differ from those of training from scratch and may explain part "
        "of their gain: loss and train#handlers for SimCLR and jigsaw; gamma for BYOL."
    )
