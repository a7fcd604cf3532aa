"""Test the record of what scores belong to."""

from __future__ import annotations

import json

import pytest
from monai.bundle import ConfigParser
from planewise.evaluation.report import read_scored, write_scored
from planewise.files.checksum import sha256


def test_an_evaluation_records_its_section_weights_and_datalist(tmp_path):
    for name in ("model.pt", "all.json"):
        (tmp_path / name).write_text(name)
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"dice": 0.5}')
    assert read_scored(metrics) is None
    settings = {
        "imports": ["$import pathlib", "$import planewise"],
        "folder": str(tmp_path),
        "section": "test",
        "datalist": "$@folder + '/all.json'",
        "weights": "$@folder + '/model.pt'",
        "run": "$planewise.evaluation.report.write_scored(pathlib.Path(@folder), '{\"dice\": 0.5}')",
    }
    ConfigParser(settings).get_parsed_content("run")
    assert read_scored(metrics) == {
        "section": "test",
        "datalist": sha256(tmp_path / "all.json"),
        "weights": sha256(tmp_path / "model.pt"),
        "metrics": sha256(metrics),
    }


@pytest.mark.parametrize("record", ["[", "[]", "{}", json.dumps({"weights": "a", "metrics": "of other scores"})])
def test_a_record_that_does_not_belong_to_the_scores_is_not_read(record, tmp_path):
    metrics = tmp_path / "metrics.json"
    metrics.write_text("{}")
    (tmp_path / "scored.json").write_text(record)
    assert read_scored(metrics) is None
    write_scored(tmp_path, "{}")  # outside a config
    assert not (tmp_path / "scored.json").exists()
