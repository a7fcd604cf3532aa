"""Test that a study with more labelled exams than there are is refused before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from planewise.errors import InputError

from tests.studies.runs import STUDIES, paper_study, planned, said_of
from tools.studies.label_counts import refuse_too_many


@pytest.fixture
def datalist(tmp_path):
    """Three labelled training exams (one of them in two phases), one without a label, and a validation exam."""
    exams = [{"exam": name, "image": f"{name}.nii", "label": "mask.nii"} for name in "aabc"]
    content = {"training": [*exams, {"exam": "d", "image": "d.nii"}], "validation": [{**exams[0], "exam": "e"}]}
    content["test"] = [{**exams[0], "exam": "f"}]
    for file in ("a.nii", "b.nii", "c.nii", "d.nii", "mask.nii"):
        (tmp_path / file).touch()
    (tmp_path / "exams.json").write_text(json.dumps(content))
    return tmp_path / "exams.json"


def test_exams_are_counted_once_and_only_with_labels(datalist):
    refuse_too_many([1, 3], datalist)
    with pytest.raises(InputError, match=r"label_counts 4: .*exams.json has 3 labelled training exams; give 1 to 3$"):
        refuse_too_many([1, 4], datalist)
    refuse_too_many([4], datalist, folds=True)


def test_after_the_index_the_command_fails_with_the_message(datalist):
    command = [sys.executable, STUDIES / "label_counts.py", datalist, "1"]
    assert subprocess.run([*command, "3"]).returncode == 0
    found = subprocess.run([*command, "50"], capture_output=True, text=True)
    assert found.returncode == 1 and found.stderr.startswith("planewise: label_counts 50: ")


def test_a_dry_run_refuses_more_labelled_exams_than_there_are(datalist, tmp_path):
    config = paper_study("table3_table4.yaml", tmp_path) | {"pretexts": ["location"], "methods": ["none"], "draws": [0]}
    both = {"labelled": str(datalist), "unlabelled": str(datalist)}
    config |= {"datalists": both, "label_counts": [1, 50]}
    refused = said_of(config, tmp_path)
    assert f"label_counts 50: {datalist} has 3 labelled training exams; give 1 to 3" in refused
    # without the datalist, the job that writes it is followed by the same check
    config |= {"label_counts": [1, 50], "datalists": None, "phantom": {"labelled": "", "unlabelled": ""}}
    text = planned(config, tmp_path, "--printshellcmds")
    (checked,) = (line for line in text.splitlines() if "label_counts.py" in line)
    assert "labelled.json 1 50)" in checked, text
