"""Test that every config is complete in itself, and that parts common to all bundles are the same in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.bundles.conftest import BUNDLES, TRAINED
from tests.conftest import ROOT

CONFIGS = {name: ROOT / "bundles" / name / "configs" for name in BUNDLES}
#: A person reads a `train.yaml` in three screens; and the mean of all configs of a bundle.
LONGEST_TRAIN, LONGEST_OF_ALL = 180, 365
#: What a bundle's own trainer, evaluator and run are told; all else is the same in every bundle.
OWN = {
    "train#trainer": {"prepare_batch", "network"},
    "validate#evaluator": {"prepare_batch", "network", "lower_is_better", "metric_cmp_fn"},
    "RunHandler": {"learner", "best_learner", "lr_epoch_level"},
}


def read(name: str, file: str = "train.yaml") -> dict[str, Any]:
    return yaml.safe_load((CONFIGS[name] / file).read_text())


def engines(name: str) -> dict[str, dict[str, Any]]:
    """The trainer, the evaluator and the run's handler of a bundle, without what is its own."""
    config = read(name)
    (run,) = (entry for entry in config["train"]["handlers"] if entry["_target_"].endswith(".RunHandler"))
    found = {"train#trainer": config["train"]["trainer"], "validate#evaluator": config["validate"]["evaluator"]}
    found["RunHandler"] = run
    return {
        block: {key: value for key, value in entry.items() if key not in OWN[block]} for block, entry in found.items()
    }


def test_configs_are_short():
    lines = {file: file.read_text().count("\n") for folder in CONFIGS.values() for file in folder.glob("*.yaml")}
    assert {file: count for file, count in lines.items() if file.name == "train.yaml" and count > LONGEST_TRAIN} == {}
    assert sum(lines.values()) <= LONGEST_OF_ALL * len(CONFIGS)


@pytest.mark.parametrize("name", TRAINED)
def test_trainer_evaluator_and_run_are_wired_alike(name):
    assert engines(name) == engines("pretext_cardiac_multitask")


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("_segmentation")])
def test_dice_is_of_every_structure_that_the_network_tells_apart(name):
    config = read(name)
    assert config["validate"]["key_metric"]["val_mean_dice"]["num_classes"] == config["network_def"]["num_maps"]


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("_segmentation")])
def test_the_regions_that_validation_scores_are_those_of_evaluation(name):
    handlers = read(name, "evaluate.yaml")["evaluate"]["handlers"]
    (report,) = (entry for entry in handlers if entry["_target_"].endswith(".SegmentationReport"))
    validated = "regions" in read(name)["validate"]["key_metric"]["val_mean_dice"]
    assert report.get("regions") == ("@regions" if validated else None) and validated == ("regions" in read(name))
    assert report["structures"] == "@structures"


def made_of(kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Bundle, file and entry of everything of this class in any config."""

    def within(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict) and str(part.get("_target_")).rpartition(".")[2] == kind:
            yield part
        for entry in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from within(entry)

    for name, folder in CONFIGS.items():
        for file in sorted(folder.glob("*.yaml")):
            yield from ((name, file.name, entry) for entry in within(read(name, file.name)))


def test_volumes_that_do_not_fit_the_network_are_refused():
    """By their channels and, of a mask, by its values; where either is not given, `LoadVolumed` takes any."""
    seen = Counter()
    for name, file, load in made_of("LoadVolumed"):
        masks = "label" in load["keys"]
        assert load.get("channels") == "@in_channels", (name, file)
        assert load.get("label_values") == ("$[0, *map(int, @structures)]" if masks else None), (name, file)
        seen[file, masks] += 1
    # two bundles learn from labelled volumes
    assert seen["train.yaml", True] == seen["evaluate.yaml", True] == 2
    assert seen["train.yaml", False] > 3 and seen["inference.yaml", False] > 5


def test_labels_go_back_by_nearest_neighbours_and_all_else_is_interpolated():
    """``pred`` of a segmentation is still its probabilities."""
    seen = Counter()
    for name, file, back in made_of("Invertd"):
        keys, nearest = (
            back[key] if isinstance(back[key], list) else [back[key]] for key in ("keys", "nearest_interp")
        )
        labels = [key == "pred" and not name.endswith("_segmentation") for key in keys]
        assert nearest == labels, (name, file)
        seen.update(keys)
    assert seen["pred"] > 20 and seen["restored"] == 2 and seen["heatmaps"] == 4


@pytest.mark.parametrize("name", TRAINED)
def test_to_train_and_evaluate_is_to_start_train_and_evaluate(name):
    config, scored = read(name), read(name, "evaluate.yaml")
    assert scored["train_and_evaluate"] == [*config["initialize"], *config["run"], *scored["run"]]
    assert "start_run(" in config["initialize"][0]


def test_the_settings_of_a_run_are_the_same_text():
    texts = Counter()
    for name in TRAINED:
        text = (CONFIGS[name] / "train.yaml").read_text()
        texts[text[text.index("\nimports:") : text.index("\nval_interval:")]] += 1
    assert len(texts) == 1, [text for text, _ in texts.most_common()[1:]]


def test_runs_of_several_processes_differ_in_their_network_alone():
    found = []
    for name in TRAINED:
        config = read(name, "multi_gpu_train.yaml")
        network = config["train#trainer#network"]
        assert network.pop("network") == read(name)["train"]["trainer"]["network"]
        found.append(config)
    assert all(config == found[0] for config in found)


@pytest.mark.parametrize("file", ["configs/logging.conf", "LICENSE"])
def test_whole_files_are_the_same(file):
    texts = {(folder.parent / file).read_text() for folder in CONFIGS.values()}
    assert len(texts) == 1
    assert file != "LICENSE" or texts == {(ROOT / "LICENSE").read_text()}
