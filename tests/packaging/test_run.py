"""Test which of a run's scores are reported."""

from __future__ import annotations

import hashlib
import json

import pytest
from planewise.workshop.packaging.configs import settings_unlike
from planewise.workshop.packaging.run import Run


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (("test", "validation"), "test"),
        (("validation",), "validation"),
        (("training", "test"), "test"),
        (("training",), None),
    ],
)
def test_scores_of_the_test_set_come_before_those_of_validation_and_those_of_training_never(sections, told, tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("models/model.pt", "config.yaml", "run.json"):
        (tmp_path / name).write_text("{}")
    for section in sections:
        (tmp_path / section).mkdir()
        (tmp_path / section / "metrics.json").write_text(json.dumps({"of": section}))
    run = Run.of_weights(tmp_path / "models/model.pt")
    assert run.scores == ((told, {"of": told}) if told else None)


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Run:
    """A run whose relative path of a datalist starts at the folder above its own, as it was started there."""
    monkeypatch.chdir(tmp_path)
    items = {"training": [{"image": "tree/b/c/d/e/a.nii.gz", "exam": "a"}]}
    datalist = tmp_path / "work/lists/all.json"
    datalist.parent.mkdir(parents=True)
    datalist.write_text(json.dumps({"planewise": {"version": 1}, **items}))
    folder = tmp_path / "work/runs/mine"
    record = {"files": {"all.json": hashlib.sha256(datalist.read_bytes()).hexdigest()}, "exams": {"training": 2}}
    return Run(folder, folder / "models/model.pt", {"datalist": "lists/all.json"}, record)


def test_a_runs_data_is_counted_in_exams_and_named_by_what_it_is(trained, tmp_path):
    assert trained.data == "images (2 training exams)"
    (tmp_path / "work/lists/tree").mkdir()
    (tmp_path / "work/lists/tree/phantom.json").write_text("{}")
    again = Run(trained.folder, trained.weights, trained.config, trained.record)
    assert again.data == "phantoms (2 training exams)" and again.on_phantoms


def test_data_that_have_changed_since_are_not_known(trained, tmp_path):
    with open(tmp_path / "work/lists/all.json", "a") as datalist:
        datalist.write("\n")
    assert trained.data is None and not trained.on_phantoms


def test_the_plain_settings_that_changed_are_listed_without_paths():
    train = {"sigma": 1.0, "views": ["2ch"], "max_epochs": 2, "loss": {"_target_": "torch.nn.MSELoss"}}
    changed = {"sigma": 2.0, "views": ["4ch", "2ch"], "own": 5}
    hidden = {
        "loss": {"_target_": "torch.nn.L1Loss"},
        "device": "cuda:1",
        "datalist": "x",
        "home": "~jane",
        "unc": "\\\\jane",
    }
    config = train | changed | hidden | {"table": {"files": ["a/b"]}, "code": "$@sigma"}
    assert settings_unlike(config, train) == changed
