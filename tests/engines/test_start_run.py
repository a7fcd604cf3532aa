"""Test how runs start, from a config and in this process."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from planewise.data.readable_items import NoneReadable
from planewise.engines import Inference
from planewise.errors import InputError
from planewise.findings import finding

from tests.conftest import ROOT

#: The resolved configuration in the test's folder.
CONFIG = "run/bundle/configs/train.yaml"


def run(folder, resume: bool = True, trains: bool = True, **settings) -> None:
    """Start a run as a bundle does, by an expression in a config that MONAI evaluates, and leave a checkpoint if it
    trains."""
    config = {
        "imports": ["$import planewise"],
        "output_dir": str(folder),
        "learning_rate": 0.1,
        "device": "cpu",
        "datalist": str(folder.parent / "datalist.json"),
        "items": [{"image": "/pacs/DOE_JANE/1.dcm"}],
        "initialize": f"$planewise.engines.start_run(@output_dir, 7, {resume}, [@datalist])",
        **settings,
    }
    parser = ConfigParser(config)
    parser.parse()
    parser.get_parsed_content("initialize")
    if trains:
        (folder / "models").mkdir(exist_ok=True)
        (folder / "models/last.ckpt").touch()


def refused(folder, start=run, **settings) -> str:
    """The message of a run that is refused."""
    with pytest.raises(RuntimeError) as caught:
        start(folder, **settings)
    assert isinstance(caught.value.__cause__, InputError)
    return str(caught.value.__cause__)


def test_no_path_of_an_item_is_written(tmp_path):
    run(tmp_path / "run")
    assert "DOE" not in (tmp_path / CONFIG).read_text() + (tmp_path / "run/run.json").read_text()
    assert yaml.safe_load((tmp_path / CONFIG).read_text())["items"] == "1 items"


def test_a_training_in_the_folder_of_an_earlier_run_takes_nothing_of_it(tmp_path, monkeypatch):
    """``train_and_evaluate --resume false`` would otherwise train with the settings of the run that it replaces."""
    run(tmp_path / "run", learning_rate=0.5)
    torch.save({}, tmp_path / "run/models/model.pt")
    content = {
        "imports": ["$import planewise"], "learning_rate": 0.1, "weights": str(tmp_path / "run/models/model.pt"),
        "train": {}, "evaluate": {}, "initialize": ["$planewise.engines.check_run()"], "run": ["$0"],
        "train_and_evaluate": ["$planewise.engines.start_run(1, 2)"],
    }  # fmt: skip
    (tmp_path / "evaluate.yaml").write_text(yaml.safe_dump(content))
    for name, rate in (("train_and_evaluate", 0.1), ("run", 0.5)):
        workflow = ConfigWorkflow(str(tmp_path / "evaluate.yaml"), logging_file=False, workflow_type=None, run_id=name)
        workflow.initialize()
        assert workflow.parser["learning_rate"] == rate


@pytest.mark.parametrize("place", ["handlers", "initialize"])
def test_another_seed_is_another_run(place, tmp_path):
    """This holds whether the training refers to the seed or only the run's start does."""
    start = "$planewise.engines.start_run(@output_dir, @seed, True, [])"
    settings = {"train": {"handlers": [{"seed": "@seed"}]}} if place == "handlers" else {"initialize": start}
    settings = {"train": {"rate": "@learning_rate"}} | settings
    run(tmp_path / "run", seed=0, **settings)
    run(tmp_path / "run", seed=0, **settings)
    assert "seed: 0 -> 1" in refused(tmp_path / "run", seed=1, **settings)


def test_another_configuration_stops_and_says_what_differs(tmp_path):
    run(tmp_path / "run")
    assert "learning_rate: 0.1 -> 0.3" in refused(tmp_path / "run", learning_rate=0.3)
    run(tmp_path / "run", resume=False, learning_rate=0.3)


@pytest.mark.parametrize("epochs", [3, 5])
@pytest.mark.parametrize("other", [{2: "LV", 1: "RV"}, {1: "LV", 2: "RV"}, {1: "RV", 2: "myocardium"}])
def test_the_order_of_the_structures_is_part_of_the_configuration(other, epochs, tmp_path):
    """The order is that of the network's outputs, even if a run is only extended."""
    settings = {"train": {"epochs": "@max_epochs", "names": "@structures"}, "structures": {1: "RV", 2: "LV"}}
    run(tmp_path / "run", max_epochs=3, **settings)
    run(tmp_path / "run", max_epochs=3, **settings | {"structures": {"1": "RV", "2": "LV"}})
    assert "structures" in refused(tmp_path / "run", max_epochs=epochs, **settings | {"structures": other})


def a_bundle(folder, network="@network", handlers=(), **settings) -> None:
    """A configuration with the parts that a bundle has."""
    parts = {
        "train": {"trainer": {"network": network, "rate": "@learning_rate"}, "handlers": ["@validate"]},
        "validate": {"handlers": [{"kept": 1}, *handlers], "every": "@interval"},
        "network": "$0",
        "interval": 1,
    }
    run(folder, **parts | settings)


def test_what_is_there_for_evaluation_changes_no_identity(tmp_path):
    a_bundle(tmp_path / "run")
    a_bundle(
        tmp_path / "run", section="test", evaluate={"dataset": "@section"}, train_and_evaluate=["$1"], finalize=["$2"]
    )
    for other in ({"learning_rate": 0.2}, {"interval": 2}, {"network": "@another", "another": "$4"}):
        assert refused(tmp_path / "run", a_bundle, **other)


def test_what_it_ran_on_is_written_down(tmp_path):
    run(tmp_path / "run", amp="false", tf32=True)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["processes"] == 1 and record["precision"] == "float32"
    assert record["devices"] == ["cpu"]
    # these settings do not define the run's identity
    run(tmp_path / "run", amp="false", tf32=True, device="meta", log_interval=3)


def test_a_run_that_was_not_compiled_goes_on_with_auto(tmp_path):
    settings = {"train": {"network": "@compile"}}
    run(tmp_path / "run", compile=False, **settings)
    run(tmp_path / "run", compile="auto", **settings)
    assert "compile: auto -> True" in refused(tmp_path / "run", compile=True, **settings)


def test_a_run_may_be_made_longer_and_nothing_else(tmp_path, monkeypatch):
    settings = {"train": {"epochs": "@max_epochs", "rate": "@learning_rate"}}
    run(tmp_path / "run", max_epochs=3, **settings)
    run(tmp_path / "run", max_epochs=5, **settings)
    assert "max_epochs: 5 -> 4" in refused(tmp_path / "run", max_epochs=4, **settings)
    assert "(learning_rate: 0.1 -> 0.3)" in refused(tmp_path / "run", max_epochs=6, learning_rate=0.3, **settings)
    (tmp_path / "datalist.json").write_text('{"test": []}')
    assert "datalist.json" in refused(tmp_path / "run", max_epochs=6, **settings)
    (tmp_path / "datalist.json").unlink()
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    assert "processes: 1 -> 2" in refused(tmp_path / "run", max_epochs=5, **settings)


@pytest.mark.parametrize("file", ["run/run.json", CONFIG])
@pytest.mark.parametrize("content", ["", "a: [", "just text", None])
def test_without_record_or_configuration_nobody_can_say(tmp_path, file, content):
    run(tmp_path / "run")
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    assert refused(tmp_path / "run")
    run(tmp_path / "run", resume=False)


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
        "bundle_root": ".", "device": "cpu", "dataset_dir": ".", "inferer": "$abs",
        "dataset": {"_target_": "Dataset", "data": []},
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

    readable = {"_target_": "planewise.data.ReadableItems", "dataset": "@dataset"}
    write(
        bundle,
        imports=["odd"],
        dataset={"_target_": "Dataset", "data": [], "transform": "$odd.refuse"},
        loader={"_target_": "DataLoader", "dataset": readable},
        run=["$@evaluator.run(@loader)"],
    )
    a, b, c = ({"exam": name} for name in "abc")
    inference, why = Inference(bundle, {}), finding("exam-unusable", error="no")
    assert inference([a, b]) == {"b": why} and inference([a, c, a]) == {}
    workflow = inference.workflow
    assert workflow.evaluator.state.iteration == 3, "a later run has its own length"
    with pytest.raises(NoneReadable) as caught:
        inference([b])
    assert caught.value.refused == {"b": why}
    assert inference([a]) == {} and inference.workflow is not workflow, "after an error, it is loaded again"


def test_a_refusal_of_a_packaged_bundle_is_a_refusal(bundle, monkeypatch):
    """A package has its own `InputError` class."""
    (bundle / "own").mkdir()
    (bundle / "own/__init__.py").write_text(
        "class InputError(ValueError): ...\ndef refuse(): raise InputError('two')\n"
    )
    write(bundle, imports=["own"], run=["$own.refuse()"])
    with pytest.raises(InputError):
        Inference(bundle, {})([])
