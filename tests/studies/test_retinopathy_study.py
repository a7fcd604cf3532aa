"""Test the jobs and their settings in the studies of photographs (Taleb 2020, Fig. 4), at the paper's and at demo size."""

from __future__ import annotations

import json

import pytest

from tests.studies.runs import config_of, page_of


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
    config["phantom"] = {"labelled": "--layout aptos --workers 1 --exams 24 --seed 1 --set side=96"}
    config["index"] = {"labelled": "--split 0.5 0.2 0.3"}
    page = page_of(config, tmp_path)
    for method in config["methods"]:
        scores = json.loads((tmp_path / f"out/finetune/{method}/4/0/test/metrics.json").read_text())
        assert f"<td>{scores['kappa']:.3f}</td>" in page, method
    for heading in (
        "Grading from few grades",
        "Kappa, by the number of graded photographs (Fig. 4)",
        "Paired differences in kappa",
    ):
        assert heading in page
