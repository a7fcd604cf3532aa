"""Test that every config is complete in itself, and that parts common to all bundles are the same in each."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pydoc import locate
from typing import Any

import pytest
import yaml
from monai.bundle import ConfigComponent

from tests.bundles.conftest import BUNDLES, TRAINED
from tests.conftest import ROOT

CONFIGS = {name: ROOT / "bundles" / name / "configs" for name in BUNDLES}
#: Arguments in which a bundle's trainer, evaluator and run may differ; everything else is the same in every bundle.
OWN = {
    "train#trainer": {"prepare_batch", "network"},
    "validate#evaluator": {"prepare_batch", "network", "lower_is_better", "metric_cmp_fn"},
    "RunHandler": {"learner", "best_learner", "lr_epoch_level"},
}


@functools.cache
def read(name: str, file: str = "train.yaml") -> dict[str, Any]:
    return yaml.safe_load((CONFIGS[name] / file).read_text())


def engines(name: str) -> dict[str, dict[str, Any]]:
    """The trainer, the evaluator and the run's handler of a bundle, without the arguments in which bundles may differ."""
    config = read(name)
    (run,) = (entry for entry in config["train"]["handlers"] if entry["_target_"].endswith(".RunHandler"))
    found = {"train#trainer": config["train"]["trainer"], "validate#evaluator": config["validate"]["evaluator"]}
    found["RunHandler"] = run
    return {
        block: {key: value for key, value in entry.items() if key not in OWN[block]} for block, entry in found.items()
    }


@pytest.mark.parametrize("name", TRAINED)
def test_trainer_evaluator_and_run_are_wired_alike(name):
    assert engines(name) == engines("pretext_cardiac_multitask")


def entries(name: str, file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects that a config creates, each with its place, such as ``train#handlers``; list indices are left out."""

    def within(part: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(part, dict) and "_target_" in part:
            yield place, part
        for key, entry in part.items() if isinstance(part, dict) else ():
            yield from within(entry, f"{place}#{key}".lstrip("#"))
        for entry in part if isinstance(part, list) else ():
            yield from within(entry, place)

    yield from within(read(name, file), "")


def files(name: str) -> list[str]:
    return sorted(path.name for path in CONFIGS[name].glob("*.yaml"))


MISSING = "not given"
#: Values that arguments take instead of the setting of the same name: another setting, or nothing.
OTHERWISE: dict[str, set[str]] = {
    # sizes, folders and devices for one part of the run
    "device": {"@data_device"},
    "output_dir": {"@report_dir", "$@report_dir + '/masks'"},
    "network": {"@learner", "@network_def", "@learner_def"},
    "labelled.structures": {"@scored"},
    "SegmentationReport.structures": {"@scored"},
    "load_fold.class_key": {"@class_key", "@class_key or 'group'"},
    "StepLR.gamma": {"@lr_gamma"},
    "CorruptImagesd.flip_prob": {"@pretext_flip_prob"},
    "ProjectionHead.norm": {"@head_norm", "none"},
    "ProjectionHead.in_channels": {"$@network_def.out_channels"},
    "LoadVolumed.channels": {"@in_channels"},
    "LoadCased.channels": {"@in_channels"},
    "VolumeDice.regions": {"$planewise.metrics.region_classes(@structures, @regions)"},
    "graded.grades": {"len(@grades)"},
    "cumulative_targets.grades": {"grades"},
    "select_subjects.seed": {"@subject_seed"},
    "select_subjects.num_subjects": {"@num_subjects if items else None"},
    "load_fold.seed": {"@fold_seed"},
    # validation is the same each time, and has its own number of samples
    "ExamSampler.seed": {MISSING},
    "ExamSampler.samples_per_exam": {"@val_samples_per_exam", MISSING},
    "ExamSampler.samples_per_epoch": {"@val_samples", MISSING},
    "PairSampler.seed": {MISSING},
    "PairSampler.samples_per_exam": {"@val_samples_per_exam"},
    "PairSampler.samples_per_epoch": {MISSING},
    "SeriesSampler.seed": {MISSING},
    "SeriesSampler.samples_per_epoch": {MISSING},
    "SeedHandler.seed": {"0"},
    # evaluation is in float32, takes every slice, and maps locations like the targets; inference reads one exam at a
    # time
    "SliceBatchInferer.amp": {MISSING},
    "ClassificationReport.dataset": {MISSING},
    "WindowInferer.amp": {MISSING},
    "SupervisedEvaluator.amp": {"$planewise.engines.precision(@amp, @device) == 'float16'"},
    "SupervisedEvaluator.compile": {MISSING},
    "ProbeScores.batch_size": {MISSING},
    "ProbeScores.max_slices": {MISSING},
    "ProbeScores.mapping": {"linear", "sine"},
    "DataLoader.num_workers": {MISSING},
    "DataLoader.dataset": {"{'_target_': 'planewise.data.ReadableItems', 'dataset': '@dataset'}"},
    "SliceFeaturesd.inferer": {
        MISSING,
        "{'_target_': 'planewise.engines.FeatureInferer', 'batch_size': '@batch_size', 'amp': '@amp'}",
    },
    # read from the running config
    "check_run.tf32": {MISSING},
    # arguments without a setting: batches and device of metrics, saved masks, puzzles of images, masks that are read
    # elsewhere
    "Loss.batch_size": {MISSING},
    "MaskedLoss.batch_size": {MISSING},
    "Loss.device": {MISSING},
    "Accuracy.device": {MISSING},
    "Invertd.device": {MISSING},
    "SaveImaged.scale": {MISSING},
    "AlexNetDecoder.norm": {MISSING},
    "UNetEncoder.in_channels": {MISSING},
    "UNetEncoder.spatial_dims": {MISSING},
    "TwoPhaseDataset.device": {"@data_device", MISSING},
    "pair_phases.masks": {MISSING},
    "load_fold.section": {"'training'"},
    "with_hearts.images": {"'segmented'"},
}


def calls(text: str) -> Iterator[tuple[Callable, dict[str, str]]]:
    """The functions of ours that an expression calls, with their arguments by name."""
    for call in ast.walk(ast.parse(re.sub(r"@[\w#]+", lambda found: "AT_" + found[0][1:].replace("#", "__"), text))):
        if isinstance(call, ast.Call) and (path := ast.unparse(call.func)).startswith("planewise."):
            function = locate(path)
            given = dict(zip(parameters(function), call.args, strict=False))
            given |= {word.arg: word.value for word in call.keywords if word.arg}
            yield function, {key: ast.unparse(value).replace("AT_", "@") for key, value in given.items()}


def expressions(part: Any) -> Iterator[str]:
    if isinstance(part, str) and part.startswith("$") and not part.startswith("$import"):
        yield part[1:]
    for entry in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from expressions(entry)


@functools.cache
def class_of(target: str) -> Callable:
    return locate(target) if "." in target else locate(ConfigComponent({"_target_": target}, "").resolve_module_name())


parameters = functools.cache(lambda function: inspect.signature(function).parameters)


@functools.cache
def wired(name: str, file: str) -> list[tuple[Callable, dict[str, str]]]:
    """Classes and functions of a config, with their arguments as text."""
    made = [
        (class_of(entry["_target_"]), {key: str(value) for key, value in entry.items()})
        for _, entry in entries(name, file)
    ]
    return made + [call for text in expressions(read(name, file)) for call in calls(text)]


@pytest.mark.parametrize("name", BUNDLES)
def test_an_argument_is_given_the_setting_of_its_name(name):
    wrong = []
    for file in files(name):
        settings = {*read(name, file), *(read(name) if file != "inference.yaml" else ())}
        for function, given in wired(name, file):
            for argument in settings & set(parameters(function)):
                value, which = given.get(argument, MISSING), f"{function.__name__}.{argument}"
                allowed = {f"@{argument}", *OTHERWISE.get(which, OTHERWISE.get(argument, ()))}
                # test_settings.py tests the network that `place_network` gets
                if value not in allowed and not value.startswith("planewise.networks.load_"):
                    wrong.append(f"{file}: {which} is {value}")
    assert wrong == [], "pass the setting of the same name, or list the other value in OTHERWISE"


@pytest.mark.parametrize("name", BUNDLES)
def test_every_setting_has_an_effect(name):
    """A setting is mentioned in its config, or in those that the config is added to."""
    for file in (file for file in files(name) if not file.endswith("_demo.yaml")):  # these follow another added config
        own, used = read(name, file), set()
        for group in (("train.yaml", "evaluate.yaml"), ("inference.yaml",)):
            merged = {key: value for base in group for key, value in read(name, base).items()} | own
            used |= set(re.findall(r"@(\w+)", str(merged)))
        plain = {key for key, value in own.items() if not isinstance(value, dict) and "$" not in str(value)}
        assert plain - used == set(), file


@pytest.mark.parametrize("name", BUNDLES)
def test_a_run_starts_with_what_it_depends_on(name):
    """A forest is trained anew each time, on the CPU."""
    resume, tf32 = ("@resume", ", @tf32") if name in TRAINED else ("False", "")
    start = f"$planewise.engines.start_run(@output_dir, @seed, {resume}, [@datalist]{tf32})"
    assert read(name)["initialize"] == [start]
    check = "$planewise.engines.check_run()"
    assert read(name, "inference.yaml")["initialize"] == [check]
    assert read(name, "evaluate.yaml")["initialize"] == ["$import planewise", check]


def test_the_settings_of_a_run_are_the_same_text():
    texts = Counter()
    for name in TRAINED:
        text = (CONFIGS[name] / "train.yaml").read_text()
        texts[text[text.index("\nimports:") : text.index("\nval_interval:")]] += 1
    assert len(texts) == 1, [text for text, _ in texts.most_common()[1:]]
