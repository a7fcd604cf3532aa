"""Test that settings of a study with values of another kind are named, before Snakemake ends with a traceback."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.conftest import ROOT
from tests.studies.runs import STUDIES, jobs, planned
from tools.studies.study_settings import SCHEMA, wrong_settings

HEART = yaml.safe_load((STUDIES / "configs/heart.yaml").read_text())


@pytest.mark.parametrize("file", sorted((STUDIES / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_studies_of_the_repository_have_the_right_kinds(file):
    assert wrong_settings(yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"out": 3}, "out"),
        ({"anatomy": None}, "'anatomy'"),
        ({"label_counts": [0, "4"]}, "label_counts: 0"),
        ({"methods": {"none": {"overrides": {"finetune": [1]}}}}, "methods: none: overrides: finetune"),
        ({"methods": {"mine": {"weigths": "a.pt"}}}, "methods: mine"),
        ({"target": {"bundle": "x", "arguments": "--fold {drawn}"}}, "target: arguments"),
        ({"label_count": [1]}, "Additional properties are not allowed ('label_count'"),
    ],
)
def test_a_value_of_another_kind_is_named(given, place):
    (found,) = wrong_settings(HEART | given)
    assert found.startswith(place), found


def test_the_page_lists_every_setting():
    page = (ROOT / "tools/docs/studies.md").read_text().split("### All settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", page, re.M)
    listed = [(name, "**needed**" in text) for names, text in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(name for name, _ in listed) == sorted(SCHEMA["properties"])
    assert {name for name, needed in listed if needed} == set(SCHEMA["required"])


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
