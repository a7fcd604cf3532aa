"""Test the warning about two datalists of the same patients that are split differently."""

from __future__ import annotations

import json
import logging

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.engines.seen_patients import warn_of_seen_patients

#: Maps sections to patients, with two items each.
PRETRAINED = {"training": "abcg", "validation": "d", "test": "ef"}
OWN = {"training": "de", "validation": "", "test": "abf"}


def write(path, sections):
    content = {
        section: [{"image": f"{name}_{number}.nii", "patient": name} for name in names for number in range(2)]
        for section, names in sections.items()
    }
    path.write_text(json.dumps({"planewise": {"version": 1}, **content}))
    return str(path)


@pytest.fixture
def pretrained(tmp_path):
    run = tmp_path / "pretext"
    (run / "models").mkdir(parents=True)
    torch.save({}, run / "models/model.pt")
    (run / "config.yaml").write_text(yaml.safe_dump({"datalist": write(tmp_path / "one.json", PRETRAINED)}))
    (run / "run.json").write_text("{}")
    return run


def test_test_patients_whom_the_pretraining_learned_from_are_said(pretrained, tmp_path, caplog):
    """Only a and b are reported: the pretraining learned from them, and they are test patients here."""
    config = {"pretrained": str(pretrained), "datalist": write(tmp_path / "two.json", OWN)}
    with caplog.at_level(logging.WARNING, "planewise"):
        assert warn_of_seen_patients(ConfigParser(config)) == 2
    assert "learned from 2 of the 3 patients of this datalist's test section" in caplog.text


def test_a_run_that_starts_says_it(pretrained, tmp_path, caplog):
    config = {
        "imports": ["$import planewise"],
        "output_dir": str(tmp_path / "run"),
        "pretrained": str(pretrained),
        "datalist": write(tmp_path / "two.json", OWN),
        "initialize": "$planewise.engines.start_run(@output_dir, 0, True, [@datalist])",
    }
    parser = ConfigParser(config)
    parser.parse()
    with caplog.at_level(logging.WARNING, "planewise"):
        parser.get_parsed_content("initialize")
    assert "learned from 2 of the 3" in caplog.text


@pytest.mark.parametrize("change", ["same", "alike", "gone", "no json", "none"])
def test_otherwise_nothing_is_said(change, pretrained, tmp_path, caplog):
    datalist = write(tmp_path / "two.json", PRETRAINED if change == "alike" else OWN)
    if change == "gone":
        (tmp_path / "one.json").unlink()
    if change == "no json":
        (tmp_path / "one.json").write_text("{")
    config = {
        "pretrained": None if change == "none" else str(pretrained),
        "datalist": str(tmp_path / "one.json") if change == "same" else datalist,
    }
    with caplog.at_level(logging.WARNING, "planewise"):
        assert warn_of_seen_patients(ConfigParser(config)) == 0
    assert "test section" not in caplog.text
