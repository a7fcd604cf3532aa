"""Test which settings of a run are saved with its weights, with small configs written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from planewise.engines.run_record import defining_settings, measured_settings
from planewise.errors import InputError
from planewise.workshop.packaging.configs import settings_of
from planewise.workshop.packaging.run import Run

INFERENCE = {
    "views": ["2ch"],
    "width": "$2 * @depth",
    "depth": 3,
    "batch_size": 4,
    "amp": "auto",
    "device": "cpu",
    "inferer": {"batch_size": "@batch_size", "amp": "@amp"},
    "network_def": {"_target_": "Net", "out": "$len(@views)", "width": "@width", "device": "@device"},
    "preprocessing": [],
}
TRAIN = {
    "views": ["2ch"],
    "width": "$2 * @depth",
    "depth": 3,
    "learning_rate": 0.1,
    "network_def": INFERENCE["network_def"],
    "train": {"preprocessing": ["load"], "targets": ["heatmaps"], "batch": "@learning_rate"},
}


def run(**settings) -> Run:
    return Run(Path("run"), Path("run/models/model.pt"), TRAIN | settings, {"commit": "abc"})


def test_settings_are_followed_through_others():
    assert defining_settings(INFERENCE) == {"views", "width", "depth"}


def test_what_the_run_had_otherwise_goes_into_both_configs():
    changed = settings_of(run(depth=5, learning_rate=0.2), TRAIN, INFERENCE)
    assert changed == {"train.yaml": {"depth": 5, "learning_rate": 0.2}, "inference.yaml": {"depth": 5}}


def test_a_setting_that_came_after_a_run_is_null_for_it_or_the_run_is_of_another_form():
    """An example is `background_prob` of the head: the weights that shipped were trained before it existed."""
    network = TRAIN["network_def"] | {"background_prob": "@background_prob"}
    newer = TRAIN | {"background_prob": None, "network_def": network}
    assert settings_of(run(depth=5), newer, INFERENCE)["train.yaml"] == {"depth": 5}
    with pytest.raises(InputError):
        settings_of(run(depth=5), newer | {"background_prob": 0.9}, INFERENCE)


@pytest.mark.parametrize("key", ["preprocessing", "targets"])
def test_a_run_that_saw_other_images_or_targets_is_not_one_of_the_bundle(key):
    other = run(train=TRAIN["train"] | {key: ["another"]})
    with pytest.raises(InputError):
        settings_of(other, TRAIN, INFERENCE)


@pytest.mark.parametrize(
    "code",
    [
        "$__import__('os')",
        "@train",
        "%/tmp/other.yaml::views",
        ["2ch", "%other.yaml"],
        {"_target_": "os.system"},
        {"%a": 1},
    ],
)
def test_what_monai_would_evaluate_look_up_or_read_is_refused(code):
    """The codes are an expression, a reference, a macro that reads another file, and a class."""
    with pytest.raises(InputError):
        settings_of(run(views=code), TRAIN, INFERENCE)


@pytest.mark.parametrize("code", ["$import os", {"_target_": "os.system"}, "@network", "%other.yaml::bounds"])
def test_code_in_what_was_measured_is_refused(code):
    with pytest.raises(InputError):
        measured_settings({"measured": {"plane_bounds": {"measured_on": code}}}, {"plane_bounds": None})
