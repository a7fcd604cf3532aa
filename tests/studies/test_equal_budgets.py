"""Test that all pretexts of a comparison learn from the same exams, with equal numbers of steps and of slices per step."""

from __future__ import annotations

import re

import pytest
import yaml
from monai.bundle import ConfigParser

from tests.conftest import ROOT
from tests.studies.runs import STUDIES, commands, jobs, option, planned
from tools.benchmarks.training_cost import Section, work

#: Number of steps, and slices per step. The knees' own pretexts use whole series, here of 30 slices: 15 epochs of 60.
KNEES_OWN = dict.fromkeys(("location", "orientation", "multitask"), (900, 30))
BUDGETS = {"comparison": ((8000, 16), {}), "knee-comparison": ((1000, 16), KNEES_OWN)}


@pytest.mark.parametrize("name", BUDGETS)
def test_all_pretexts_have_the_same_budget(name, tmp_path):
    """The budgets are read from the commands that the study runs. Slice order has batches of 8 pairs, which are 16 slices."""
    study = yaml.safe_load((STUDIES / f"configs/{name}.yaml").read_text())
    text = planned(study, tmp_path, "--printshellcmds")
    pretrainings = {re.search(r"/pretrain/(\w+) ", command)[1]: command for command in commands(text, "pretrain")}
    again = {method for method in study["methods"] if method.endswith("_again")}
    assert set(pretrainings) == set(study["pretexts"]) | again and len(study["pretexts"]) >= 9
    runs = (len(pretrainings) + 1) * len(study["label_counts"]) * len(study["draws"])
    assert jobs(text)["finetune"] == runs
    budget, exceptions = BUDGETS[name]
    expected = dict.fromkeys(pretrainings, budget) | exceptions
    found = {pretext: steps_and_slices(command) for pretext, command in pretrainings.items()}
    assert found == expected
    assert {option(command, "datalist") for command in pretrainings.values()} == {f"{tmp_path}/out/unlabelled.json"}
    # two networks of one method differ by their seed alone
    seeds = {pretext: option(command, "seed") for pretext, command in pretrainings.items()}
    assert seeds == dict.fromkeys(pretrainings, "0") | dict.fromkeys(again, "1")


def steps_and_slices(command: str) -> tuple[int, int]:
    """Number of steps of a job's whole training, and slices per step."""
    bundle = re.search(rf"cd {ROOT}/bundles/(\w+) && ", command)[1]
    files = [str(ROOT / "bundles" / bundle / file) for file in yaml.safe_load(option(command, "config_file"))]
    config = ConfigParser(ConfigParser.load_config_files(files))
    given = {key: option(command, key) for key in ("max_epochs", "samples_per_epoch", "batch_size")}
    config.update({key: int(value) for key, value in given.items() if value is not None})
    found = work(config, Section(exams=100, slices=3000))
    return found.steps, found.step_slices
