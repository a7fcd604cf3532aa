"""Test the study of real patients, whose images do not come with the code."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.studies.runs import commands, config_of, jobs, option, planned, said_of
from tools.studies.methods import left_out


def test_a_study_without_its_patients_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANEWISE_STUDY_DATA", str(tmp_path / "absent"))
    said = said_of(config_of("acdc"), tmp_path)
    assert f"there is no folder {tmp_path / 'absent'}" in said and "--data DIR" in said and "Traceback" not in said


@pytest.mark.parametrize("study", ["acdc", "acdc_pretexts"])
def test_the_study_plans_each_fine_tuning_once(study, tmp_path, monkeypatch, real_data):
    monkeypatch.setenv("PLANEWISE_STUDY_DATA", str(real_data / "acdc"))
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")  # paths of weights are relative to the clone
    config = config_of(study)
    text = planned(config, tmp_path, "--printshellcmds")
    runs = [
        (name, count, draw)
        for name, given in config["methods"].items()
        if name not in left_out(config)  # published weights, whose paths a person gives
        for count in (given or {}).get("label_counts", config["label_counts"])
        for draw in (given or {}).get("draws", config["draws"])
    ]
    assert jobs(text)["finetune"] == len(runs)
    lists = {
        option(command, "output_dir").split("/")[-1]: option(command, "datalist")
        for command in commands(text, "pretrain")
    }
    for name, path in lists.items():
        assert path.endswith("/labelled.json" if name.endswith("_patients") else "/unlabelled.json")
    unchanged = [command for command in commands(text, "finetune") if "/segmentation_unchanged/0/" in command]
    assert len(unchanged) == ("segmentation_unchanged" in config["methods"])
    for command in unchanged:
        assert "train_and_evaluate" not in command and option(command, "weights").endswith("/models/model.pt")
