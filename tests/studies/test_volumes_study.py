"""Test the jobs and their settings in the studies of Taleb 2020, at the paper's size and at demo size."""

from __future__ import annotations

import json

import pytest

from tests.studies.runs import config_of, page_of


@pytest.mark.slow
def test_a_study_of_volumes_ends_in_its_report(tmp_path):
    """The demo's own config with few small phantoms, small networks, and one number of cases."""
    small = {
        "image_size": 16,
        "features": [4, 8, 8],
        "samples_per_epoch": 8,
        "batch_size": 4,
        "max_epochs": 2,
        "val_interval": 1,
    }
    config = config_of("volumes") | {"label_counts": [2], "draws": [0], "overlay": None, "out": str(tmp_path / "out")}
    config["overrides"] = {"pretrain": small | {"in_channels": 2}, "finetune": small | {"learning_rate": 0.003}}
    config["methods"] = {name: given or {} for name, given in config["methods"].items()}
    config["phantom"] = {
        "unlabelled": "--layout brats --workers 1 --exams 6 --seed 1 --set side=16 --set tumour=0 --set tissues=1",
        "labelled": "--layout brats --workers 1 --exams 8 --seed 2 --set side=16 --set radius=25,30",
    }
    config["index"] = {"unlabelled": "--channels t1,flair --split 0.5 0.2 0.3", "labelled": "--split 0.5 0.2 0.3"}
    page = page_of(config, tmp_path)
    for method in config["methods"]:
        scores = json.loads((tmp_path / f"out/finetune/{method}/2/0/test/metrics.json").read_text())
        assert f"<td>{scores['structures']['WT']['dice']['mean']:.3f}</td>" in page, method
    assert "Segmentation from few labels" in page and "Paired differences in mean Dice between learning rates" in page
