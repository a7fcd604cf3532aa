"""Test that settings of a study with values of another kind are named, before Snakemake ends with a traceback."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.conftest import ROOT
from tests.studies.runs import STUDIES, jobs, planned
from tools.studies.study_settings import NEEDED, SETTINGS, wrong_settings

HEART = yaml.safe_load((STUDIES / "configs/heart.yaml").read_text())


@pytest.mark.parametrize("file", sorted((STUDIES / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_studies_of_the_repository_have_the_right_kinds(file):
    assert wrong_settings(yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"out": 3}, "out must be a text, got 3"),
        ({"out": ""}, "out is missing"),
        ({"anatomy": "hart"}, "anatomy must be cardiac, knee, any, volume, photograph, got 'hart'"),
        ({"anatomy": None}, "anatomy is missing"),
        ({"anatomy": ["cardiac"]}, "anatomy must be a text, .*"),
        ({"device": "gpu"}, "device must be cpu or cuda:0, got 'gpu'"),
        ({"threads": 0}, "threads must be a whole number, at least 1, got 0"),
        ({"label_counts": [0, "4"]}, "label_counts must be a list of whole numbers, at least 1, got [0, '4']"),
        ({"draws": [0, "one"]}, "draws must be a list of whole numbers, got [0, 'one']"),
        ({"draws": [0, 1, "0"]}, "draws must be different numbers, got [0, 1, '0']"),
        ({"pretext_steps": "0"}, "pretext_steps must be a whole number, at least 1, got '0'"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"pretexts": "multitask"}, "pretexts must be a list of texts, got 'multitask'"),
        ({"pretexts": [None]}, "pretexts: the list must not contain null"),
        ({"methods": {"none": 3}}, "methods: none must be a mapping, such as {key: value}, got 3"),
        (
            {"methods": {"none": {"overrides": {"finetune": [1]}}}},
            "methods: none: overrides: finetune must be a mapping, .*",
        ),
        ({"methods": {"none": {"overlay": 3}}}, "methods: none: overlay must be a text or a mapping, .* got 3"),
        ({"overrides": {"pretrain": "x"}}, "overrides: pretrain must be a mapping, .*"),
        ({"target": {"bundle": "x", "argument": "y"}}, r"target: argument is not one of .*did you mean arguments\?.*"),
        ({"target": {}}, "target needs a `bundle`"),
        (
            {"target": {"bundle": "x", "arguments": "--fold {drawn}"}},
            "target: arguments must contain no braces other .*",
        ),
        ({"pretext_bundle": "pretext_{}"}, "pretext_bundle must contain no braces other than {pretext}, got .*"),
        ({"diagnose": {"bundle": "x", "draws": True}}, "diagnose: draws must be a list of whole numbers, got True"),
        ({"processes": 1.5}, "processes must be a whole number or a mapping, .* got 1.5"),
        ({"resources": {"pretrain": 3}}, "resources: pretrain must be a mapping, .*"),
        ({"label_count": [1]}, r"label_count is not a setting of a study \(did you mean label_counts\?\)"),
        ({3: 4}, "3 is not a setting of a study"),
    ],
)
def test_a_value_of_another_kind_is_named(given, said):
    (found,) = wrong_settings(HEART | given)
    assert re.fullmatch(said, found) or found == said, found


def test_the_page_lists_every_setting():
    page = (ROOT / "tools/docs/studies.md").read_text().split("### All settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", page, re.M)
    listed = [(name, "**needed**" in text) for names, text in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(name for name, _ in listed) == sorted(SETTINGS)
    assert {name for name, needed in listed if needed} == set(NEEDED)


def test_the_pages_own_study_plans_its_jobs(tmp_path):
    page = (ROOT / "tools/docs/studies.md").read_text()
    study = yaml.safe_load(re.search(r"```yaml\n(# kidneys.yaml\n.*?)```", page, re.S)[1])
    items = [{"exam": str(number), "image": "a.nii.gz", "label": "a.nii.gz"} for number in range(10)]
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "list.json").write_text(
        json.dumps({"training": items[2:], "validation": items[:1], "test": items[1:2]})
    )
    study["datalists"] = dict.fromkeys(study["datalists"], str(tmp_path / "list.json"))
    found = jobs(planned(study, tmp_path))
    assert (found["pretrain"], found["finetune"], found["report"]) == (2, 18, 1)


def test_numbers_of_the_command_line_and_nulls_pass():
    given = {"processes": {"pretrain": "2"}, "threads": "2", "methods": ["none", "imagenet"], "overlay": None}
    given |= {"methods": {"none": None, "mine": {"overlay": {"finetune": "./a.yaml"}, "weights": None}}}
    assert (
        wrong_settings(HEART | given | {"plan": {"bundle": "b"}, "index": {"labelled": None, "unlabelled": ""}}) == []
    )
    assert sorted(wrong_settings({})) == [f"{name} is missing" for name in sorted(NEEDED)] and set(NEEDED) <= set(
        SETTINGS
    )
