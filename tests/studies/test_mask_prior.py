"""Test the jobs and their settings in the studies of Nakashima 2022, at the paper's size and at demo size."""

from __future__ import annotations

import re

import pytest
import yaml
from planewise.workshop.study.paper_tables import BACKBONES, IMAGES, PRETRAININGS, TWO_PHASE_AUC

from tests.conftest import ROOT
from tests.studies.runs import STUDIES, commands, config_of, jobs, option, paper_study, planned

#: The methods in Tables 1 and 2, in the order of the configs.
METHODS = [f"{backbone}_{start}_{images}" for backbone in BACKBONES for start in PRETRAININGS for images in IMAGES]
#: The demo's controls: frozen random backbones, and hearts cropped with predicted masks.
PREDICTED = [f"{backbone}_{start}_predicted" for backbone in BACKBONES for start in ("none", "segmented")]
CONTROLS = [f"{backbone}_random_segmented" for backbone in BACKBONES] + PREDICTED
TARGET = "downstream_cardiac_two_phase_classification"


def starts(folder):
    """Maps each method to the folder from which it starts; methods with the same pretraining share the first one's folder."""
    found = dict.fromkeys(CONTROLS) | {method: None for method in METHODS if "_none_" in method}
    for backbone in BACKBONES:
        for learned in ("full", "segmented"):
            found |= dict.fromkeys(
                (f"{backbone}_{learned}_{images}" for images in IMAGES), f"{folder}/pretrain/{backbone}_{learned}_full"
            )
    return found | {
        method: f"{folder}/pretrain/{method.split('_')[0]}_segmented_full"
        for method in PREDICTED
        if "_none_" not in method
    }


def test_the_papers_study_holds_every_column_of_its_tables():
    config = config_of("nakashima_mask_prior")
    assert list(config["methods"]) == METHODS
    assert TWO_PHASE_AUC[1][0].values.keys() | TWO_PHASE_AUC[2][0].values.keys() == set(METHODS)
    demo = config_of("mask-prior")
    assert [method for method in demo["methods"] if method not in CONTROLS] == [
        method for method in METHODS if "imagenet" not in method
    ]
    assert set(CONTROLS) <= set(demo["methods"])
    assert demo["target"] == config["target"] and "time" in demo


@pytest.mark.parametrize("name", ["nakashima_mask_prior", "mask-prior"])
def test_its_jobs(name, tmp_path):
    """Four pretrainings serve two methods each; there is one datalist; a draw is a fold; each network has its own configs."""
    paper = name == "nakashima_mask_prior"
    config = paper_study(f"{name}.yaml", tmp_path) if paper else config_of(name)
    text = planned(config, tmp_path, "--printshellcmds")
    expected = {"pretrain": 4, "finetune": 12 * 5, "report": 1}
    if not paper:
        # and the forest fitted to reference masks
        expected |= {"finetune": 18 * 5, "phantom": 1, "index": 1, "forest": 1, "predict_masks": 1}
    assert jobs(text) == expected | {"all": 1, "total": sum(expected.values()) + 1}
    assert ("left out" in text) == paper, "only rows of ImageNet without their files are left out"
    datalist = config["datalists"]["labelled"] if paper else f"{tmp_path}/out/labelled.json"
    pretrainings = {re.search(r"/pretrain/(\w+) ", line)[1]: line for line in commands(text, "pretrain")}
    assert set(pretrainings) == {f"{backbone}_{learned}_full" for backbone in BACKBONES for learned in IMAGES}
    demo = [] if paper else ["configs/demo.yaml"]
    for folder, command in pretrainings.items():
        backbone, learned, _ = folder.split("_")
        assert f"cd {ROOT}/bundles/pretext_simclr && " in command
        assert option(command, "images") == learned and option(command, "datalist") == datalist
        files = ["configs/train.yaml", "configs/evaluate.yaml", *demo, f"configs/{backbone}.yaml"]
        assert yaml.safe_load(option(command, "config_file")) == files
    start, seen = starts(f"{tmp_path}/out"), []
    for command in commands(text, "finetune"):
        method, draw = re.search(r"/finetune/(\w+)/56/(\d) ", command).groups()
        seen.append((method, int(draw)))
        backbone, pretraining, images = method.split("_")
        assert f"cd {ROOT}/bundles/{TARGET} && " in command
        own = [] if backbone == "vgg16" else ["configs/densenet121.yaml"]
        files = ["configs/train.yaml", "configs/evaluate.yaml", *demo, *own]
        assert yaml.safe_load(option(command, "config_file")) == files
        told = {
            key: option(command, key)
            for key in ("fold", "folds", "images", "datalist", "pretrained", "transfer", "standardize")
        }
        assert told == {
            "fold": draw,
            "folds": "5",
            "images": "segmented" if images == "predicted" else images,
            "datalist": f"{tmp_path}/out/predicted/datalist.json" if images == "predicted" else datalist,
            "pretrained": start[method],
            "transfer": "all" if pretraining == "none" else None,
            "standardize": "False" if pretraining == "none" else None,
        }
    run = [method for method in METHODS if "imagenet" not in method] + ([] if paper else CONTROLS)
    assert sorted(seen) == sorted((method, draw) for method in run for draw in range(5))


def test_the_demos_networks_are_the_pretraineds():
    """Pretraining and classification use the same backbone: VGG with the settings of the classifier's demo, DenseNet
    with those of the method.
    """
    demo = yaml.safe_load((ROOT / f"bundles/{TARGET}/configs/demo.yaml").read_text())
    for method, given in config_of("mask-prior")["methods"].items():
        pretrain, finetune = (given["overrides"].get(kind, {}) for kind in ("pretrain", "finetune"))
        keys = ("features", "blocks") if method.startswith("vgg16") else ("init_features", "growth_rate", "blocks")
        own = {key: finetune.get(key, demo.get(key)) for key in keys}
        assert all(own.values()) and (not pretrain or {key: pretrain.get(key) for key in keys} == own), method


def test_the_papers_numbers_of_exams():
    """70 of 100 patients, 14 from each class, in five folds: 56 to train on."""
    config = config_of("nakashima_mask_prior")
    split = [float(share) for share in re.search(r"--split ([\d. ]+)", text_of("nakashima_mask_prior"))[1].split()]
    assert sum(split[:2]) == pytest.approx(0.7) and config["label_counts"] == [round(100 * sum(split[:2]) * 4 / 5)]
    demo = config_of("mask-prior")
    exams = int(re.search(r"--exams (\d+)", demo["phantom"]["labelled"])[1])
    split = [float(share) for share in re.search(r"--split ([\d. ]+)", demo["index"]["labelled"])[1].split()]
    assert demo["label_counts"] == [round(exams * sum(split[:2]) * 4 / 5)] and exams * split[2] == 70


def text_of(name):
    return (STUDIES / "configs" / f"{name}.yaml").read_text()
