"""Test a bundle's inference in this process: its messages, what it refuses, and the state that it leaves behind."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import warnings

import pytest
import torch
from planewise.data.readable_items import NoneReadable
from planewise.engines.run_inference import run_inference
from planewise.errors import InputError
from planewise.findings import finding

from tests.conftest import ROOT

ABSENT = object()
METADATA = ROOT / "bundles/pretext_cardiac_multitask/configs/metadata.json"


@pytest.fixture
def bundle(tmp_path):
    """A bundle ``tiny`` that counts to three."""
    (tmp_path / "tiny/configs").mkdir(parents=True)
    shutil.copy(METADATA, tmp_path / "tiny/configs")
    return write(tmp_path / "tiny")


def write(bundle, imports=(), **changed):
    config = {
        "imports": [f"$import {name}" for name in ("logging", "sys", "warnings", *imports)],
        "bundle_root": ".", "device": "cpu", "dataset_dir": ".", "dataset": "$range(3)", "inferer": "$abs",
        "network_def": {"_target_": "torch.nn.Identity"},
        "log": "$logging.getLogger('planewise.of_a_test')",
        "evaluator": {"_target_": "ignite.engine.Engine", "process_function": "$lambda engine, item: item"},
        "run": ["$@evaluator.run(@dataset)"],
    } | changed  # fmt: skip
    config = {key: value for key, value in config.items() if value is not ABSENT}
    (bundle / "configs/inference.yaml").write_text(json.dumps(config))
    return bundle


def test_it_hands_over_what_the_run_refused(bundle):
    (bundle / "odd.py").write_text(
        "from planewise.errors import InputError\n"
        "from planewise.findings import finding\n"
        "def refuse(item):\n"
        "    if item['exam'] == 'b': raise InputError(finding('exam-unusable', error='no'))\n"
        "    return item\n"
    )

    def loader(*exams):
        inner = {"_target_": "Dataset", "data": [{"exam": exam} for exam in exams], "transform": "$odd.refuse"}
        return {"_target_": "DataLoader", "dataset": {"_target_": "planewise.data.ReadableItems", "dataset": inner}}

    why = finding("exam-unusable", error="no")
    write(bundle, imports=["odd"], loader=loader("a", "b"), run=["$@evaluator.run(@loader)"])
    assert run_inference(bundle, {}) == {"b": why}
    write(bundle, imports=["odd"], loader=loader("b"), run=["$@evaluator.run(@loader)"])
    with pytest.raises(NoneReadable) as caught:
        run_inference(bundle, {})
    assert caught.value.refused == {"b": why}


def test_settings_are_overrides_and_none_is_none(bundle, tmp_path):
    tells = "$open(@told, 'w').write(' '.join((@phases, @section, type(@input).__name__)))"
    write(bundle, phases="ed", section="test", input=".", told=str(tmp_path / "told"), run=[tells])
    run_inference(bundle, {"input": tmp_path / "a b", "section": None, "phases": "all"})
    assert (tmp_path / "told").read_text() == "all test str"


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_is_as_it_was(fails, bundle):
    root, own = logging.getLogger(), logging.getLogger("monai.bundle.workflows")
    changes = ["$setattr(sys, 'excepthook', print)", "$warnings.simplefilter('error')", *["$1 / 0"] * fails]
    write(bundle, run=changes)

    def state():
        logs = [(logger.level, logger.handlers[:]) for logger in (root, own)]
        return sys.excepthook, sys.path[:], logs, warnings.filters[:]

    before = state()
    try:
        run_inference(bundle, {"input": "x"})
    except InputError:
        assert fails
    assert state() == before


def test_a_refusal_of_a_packaged_bundle_is_a_refusal(bundle, monkeypatch):
    """A package has its own `InputError` class."""
    (bundle / "own").mkdir()
    (bundle / "own/__init__.py").write_text(
        "class InputError(ValueError): ...\ndef refuse(): raise InputError('two')\n"
    )
    write(bundle, imports=["own"], run=["$own.refuse()"])
    with pytest.raises(InputError):
        run_inference(bundle, {})


def test_weights_are_loaded_as_data(bundle):
    """As in `python -m monai.bundle run`, a checkpoint that contains code is refused and not executed."""
    harm = bundle / "harm"

    class Harm:
        def __reduce__(self):
            return open, (str(harm), "w")

    torch.save({"model": Harm()}, bundle / "model.pt")
    loads = {
        "_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/model.pt'", "load_dict": {"model": "@network_def"},
    }  # fmt: skip
    evaluator = {
        "_target_": "SupervisedEvaluator", "device": "$torch.device('cpu')", "val_data_loader": "@dataset",
        "network": "@network_def", "val_handlers": "@handlers",
    }  # fmt: skip
    write(bundle, evaluator=evaluator, handlers=[loads], run=["$@evaluator.run()"])
    with pytest.raises(InputError):
        run_inference(bundle, {})
    assert not harm.exists()
