"""Test the jobs and their settings in the studies of photographs (Taleb 2020, Fig. 4), at the paper's and at demo size."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from planewise.workshop.study.numbers import over_draws

from tests.conftest import ROOT
from tests.studies.runs import commands, config_of, jobs, option, page_of, paper_study, planned

TARGET = "downstream_retinopathy_grading"
#: The paper's five pretexts, in 2D.
PRETEXTS = {"contrastive_predictive_coding", "exemplar", "jigsaw", "relative_patch_location", "rotation"}


@pytest.mark.parametrize("name", ["retinopathy", "taleb2020_retinopathy"])
def test_its_jobs(name, tmp_path):
    demo = name == "retinopathy"
    config = config_of(name) if demo else paper_study(f"{name}.yaml", tmp_path)
    out = f"{tmp_path}/out"
    text = planned(config, tmp_path, "--printshellcmds")
    # from scratch and after five pretexts, in the demo also after rotation from another seed; three shares of the grades and
    # ten draws, or five shares and five folds as in the paper
    pretrainings, runs = (6, 7 * 3 * 10) if demo else (5, 6 * 5 * 5)
    counted = jobs(text)
    assert {"pretrain": pretrainings, "finetune": runs, "probe": pretrainings + 1}.items() <= counted.items()
    own = ["configs/photograph.yaml"] + ["configs/photograph_demo.yaml"] * demo
    trained = set()
    for pretraining in commands(text, "pretrain"):
        files = yaml.safe_load(option(pretraining, "config_file"))
        assert [file for file in files if file not in ("configs/train.yaml", "configs/evaluate.yaml")] == own
        trained.add(re.search(rf"cd {ROOT}/bundles/pretext_(\w+) && ", pretraining)[1])
    assert trained == PRETEXTS == set(config["methods"]) - {"none", "rotation_again"}
    for command in commands(text, "finetune"):
        method, draw = re.search(r"/finetune/(\w+)/\d+/(\d) ", command).groups()
        assert f"bundles/{TARGET} && " in command
        assert option(command, "pretrained") == (None if method == "none" else f"{out}/pretrain/{method}")
        assert option(command, "fold") == (None if demo else draw)
    for command in commands(text, "probe"):
        encoder = re.search(r"/probe/(\w+) ", command)[1]
        assert "configs/probe.yaml'" in option(command, "config_file")
        assert option(command, "pretrained") == (None if encoder == "untrained" else f"{out}/pretrain/{encoder}")
        assert yaml.safe_load(option(command, "probe_counts")) == config["label_counts"]
        assert option(command, "probe_draws") == "20" and option(command, "fold") == (None if demo else "0")


@pytest.mark.parametrize("name", ["retinopathy", "taleb2020_retinopathy"])
def test_shares_of_the_graded_photographs(name):
    counts = config_of(name)["label_counts"]
    shares = [10, 25, 100] if name == "retinopathy" else [5, 10, 25, 50, 100]
    assert [round(100 * count / counts[-1]) for count in counts] == pytest.approx(shares, abs=1)


@pytest.mark.slow
def test_a_study_of_photographs_ends_in_its_report(tmp_path):
    """The demo's own config with few small photographs, small networks, and one number of graded photographs."""
    small = {
        "image_size": 32,
        "init_features": 8,
        "growth_rate": 4,
        "blocks": [1, 1, 1, 1],
        "samples_per_epoch": 8,
        "batch_size": 4,
        "max_epochs": 2,
        "val_interval": 1,
    }
    config = config_of("retinopathy") | {
        "label_counts": [4],
        "draws": [0],
        "overlay": None,
        "out": str(tmp_path / "out"),
    }
    config |= {"overrides": {"pretrain": small, "finetune": small}, "methods": {"none": {}, "rotation": {}}}
    config["pretexts"] = ["rotation"]
    config["phantom"] = {"labelled": "--layout aptos --workers 1 --exams 24 --seed 1 --side 96"}
    config["index"] = {"labelled": "--split 0.5 0.2 0.3"}
    page = page_of(config, tmp_path)
    for method in config["methods"]:
        scores = json.loads((tmp_path / f"out/finetune/{method}/4/0/test/metrics.json").read_text())
        assert f"<td>{scores['kappa']:.3f}</td>" in page, method
    for encoder in ("untrained", "rotation"):
        probed = json.loads((tmp_path / f"out/probe/{encoder}/test/metrics.json").read_text())
        assert len(probed["linear"]["4"]) == 20 and f"<td>{over_draws(probed['linear']['4'])}</td>" in page, encoder
    for heading in (
        "Grading from few grades",
        "Kappa, by the number of graded photographs (Fig. 4)",
        "Paired differences in kappa",
    ):
        assert heading in page
