from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from planewise.engines import start_run
from planewise.engines.write_run import _differences
from planewise.errors import InputError

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


def test_a_run_that_ended_before_its_first_checkpoint_blocks_nothing(tmp_path):
    run(tmp_path / "run", trains=False)
    run(tmp_path / "run", learning_rate=0.3, trains=False, ckpt_dir=str(tmp_path / "weights"))
    assert yaml.safe_load((tmp_path / CONFIG).read_text())["learning_rate"] == 0.3
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/model.pt").touch()
    assert "learning_rate: 0.3 -> 0.1" in refused(tmp_path / "run", ckpt_dir=str(tmp_path / "weights"))


@pytest.mark.parametrize("left", ["history.csv", "models/model.pt", "models/last.ckpt"])
def test_a_trained_run_is_kept_wherever_the_next_one_keeps_its_weights(left, tmp_path):
    run(tmp_path / "run", trains=False)
    (tmp_path / "run/models").mkdir()
    (tmp_path / "run" / left).symlink_to(tmp_path / "a disk that is not there")
    other = {"learning_rate": 0.3, "trains": False, "ckpt_dir": str(tmp_path / "elsewhere")}
    assert "learning_rate: 0.1 -> 0.3" in refused(tmp_path / "run", **other)


def test_the_run_is_written_down(tmp_path):
    (tmp_path / "datalist.json").write_text("{}")
    run(tmp_path / "run", learning_rate=0.3)
    written = yaml.safe_load((tmp_path / CONFIG).read_text())
    assert written["learning_rate"] == 0.3
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["seed"] == 7 and record["packages"]["monai"] and record["files"]["datalist.json"]
    assert all(record["packages"].values()), "each is the name of an installed distribution"


@pytest.mark.parametrize(
    ("settings", "told"), [({"pretrained": None}, True), ({"pretrained": "none"}, True), ({}, False)]
)
def test_training_says_that_no_weights_are_copied_and_evaluation_does_not(settings, told, tmp_path, caplog):
    caplog.set_level("INFO")
    run(tmp_path / "run", initialize="$planewise.engines.check_run()", trains=False, **settings)
    assert "--pretrained is not set" not in caplog.text
    run(tmp_path / "run", **settings)
    assert ("--pretrained is not set" in caplog.text) is told


def test_no_path_of_an_item_is_written(tmp_path):
    run(tmp_path / "run")
    assert "DOE" not in (tmp_path / CONFIG).read_text() + (tmp_path / "run/run.json").read_text()
    assert yaml.safe_load((tmp_path / CONFIG).read_text())["items"] == "1 items"


@pytest.mark.parametrize(
    ("word", "cut"), [("run#1", True), ("1.10", True), ("2024_01_15", True), ("./run#1", False), ("7", False)]
)
def test_a_folder_that_the_command_line_would_change_is_refused(word, cut, tmp_path, monkeypatch):
    """MONAI would write to `run`, `1.1` or `20240115`; a name like train#trainer is no value."""
    words = ["--train#trainer#max_epochs", "3", "--structures", "{'1': 'LV #1'}", f"--output_dir={word}"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/planewise", *words])
    run(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["/somewhere/monai/bundle/__main__.py", *words])
    if cut:
        assert refused(tmp_path / "run")
    else:
        run(tmp_path / "run")


def test_words_of_a_command_line_take_effect(tmp_path):
    """MONAI hands over the texts 'null' and 'false', and a number for a folder."""
    given = {"samples_per_epoch": "null", "tf32": "off", "dataset_dir": 7}
    run(tmp_path / "run", **given, train={"optimizer": {"_target_": "torch.optim.Adam", "amsgrad": "false"}})
    written = yaml.safe_load((tmp_path / CONFIG).read_text())
    assert written["train"]["optimizer"]["amsgrad"] is False
    assert (written["samples_per_epoch"], written["tf32"], written["dataset_dir"]) == (None, False, "7")


@pytest.mark.parametrize(
    "settings",
    [
        {"views": "2ch"},
        {"device": "cuda:99"},
        {"train": {"loss": {"_target_": "torch.nn.MSELoss", "reductions": "sum"}}},
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(tmp_path, settings):
    assert refused(tmp_path / "run", **settings) and not (tmp_path / "run").exists()
    # expressions are compared by their results
    run(tmp_path / "run", views="$['2ch'] + @more", more=["4ch"])


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


def test_the_seed_is_set(tmp_path):
    run(tmp_path / "run")
    first = torch.rand(3)
    run(tmp_path / "run")
    assert torch.equal(torch.rand(3), first)


def test_cudnn_does_not_search_for_algorithms(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    run(tmp_path / "run")
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


@pytest.mark.parametrize("seed", [0, 3])
def test_it_is_the_seed_that_was_asked_for(seed, tmp_path):
    start_run(tmp_path / "run", seed)
    drawn = torch.rand(3)
    torch.manual_seed(seed)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize("place", ["handlers", "initialize"])
def test_another_seed_is_another_run(place, tmp_path):
    """This holds whether the training refers to the seed or only the run's start does."""
    start = "$planewise.engines.start_run(@output_dir, @seed, True, [])"
    settings = {"train": {"handlers": [{"seed": "@seed"}]}} if place == "handlers" else {"initialize": start}
    settings = {"train": {"rate": "@learning_rate"}} | settings
    run(tmp_path / "run", seed=0, **settings)
    run(tmp_path / "run", seed=0, **settings)
    assert "another configuration (seed: 0 -> 1)" in refused(tmp_path / "run", seed=1, **settings)


def test_the_same_configuration_goes_on_whatever_the_device(tmp_path):
    run(tmp_path / "run")
    run(tmp_path / "run", device="meta")


def test_another_configuration_stops_and_says_what_differs(tmp_path):
    run(tmp_path / "run")
    message = refused(tmp_path / "run", learning_rate=0.3)
    assert "learning_rate: 0.1 -> 0.3" in message and "--resume false" in message
    run(tmp_path / "run", resume=False, learning_rate=0.3)


def test_of_another_config_the_changed_parts_are_named(tmp_path):
    """A setting that only one of the configs has was not set by the user; it belongs to the other network."""
    network = {"_target_": "torch.nn.Linear", "in_features": "@width", "out_features": 1}
    parts = {"train": {"network": "@network", "rate": "@learning_rate"}, "network": network, "width": 2}
    run(tmp_path / "run", **parts)
    other = {"_target_": "torch.nn.Conv2d", "in_channels": "@channels", "out_channels": 1, "kernel_size": 1}
    parts |= {"network": other, "channels": 3, "learning_rate": 0.3}
    said = "configuration (learning_rate: 0.1 -> 0.3; changed: network); start over"
    assert said in refused(tmp_path / "run", **parts)
    # with nothing else, they are the difference
    assert _differences({"a": 1, "b": 2}, {"a": 1, "c": 3}, {}, {}) == "without b; with c"


def test_a_run_may_be_made_longer_and_nothing_else(tmp_path, caplog):
    settings = {"train": {"epochs": "@max_epochs", "rate": "@learning_rate"}}
    run(tmp_path / "run", max_epochs=3, **settings)
    with caplog.at_level("INFO"):
        run(tmp_path / "run", max_epochs=5, **settings)
    assert "max_epochs is raised from 3 to 5" in caplog.text
    for change, said in (({"max_epochs": 4}, "max_epochs: 5 -> 4"), ({"max_epochs": 6, "learning_rate": 0.3}, "")):
        wanted = f"configuration ({said or 'learning_rate: 0.1 -> 0.3'}); start over"
        assert wanted in refused(tmp_path / "run", **{"max_epochs": 5} | settings | change)
    (tmp_path / "datalist.json").write_text('{"test": []}')
    assert "datalist.json changed" in refused(tmp_path / "run", max_epochs=6, **settings)


@pytest.mark.parametrize("epochs", [3, 5])
@pytest.mark.parametrize("other", [{2: "LV", 1: "RV"}, {1: "LV", 2: "RV"}, {1: "RV", 2: "myocardium"}])
def test_the_order_of_the_structures_is_part_of_the_configuration(other, epochs, tmp_path):
    """The order is that of the network's outputs, even if a run is only extended."""
    settings = {"train": {"epochs": "@max_epochs", "names": "@structures"}, "structures": {1: "RV", 2: "LV"}}
    run(tmp_path / "run", max_epochs=3, **settings)
    run(tmp_path / "run", max_epochs=3, **settings | {"structures": {"1": "RV", "2": "LV"}})
    texts = [{str(key): name for key, name in each.items()} for each in (settings["structures"], other)]
    said = "configuration (structures: {} -> {}); start over".format(*texts)
    assert said in refused(tmp_path / "run", max_epochs=epochs, **settings | {"structures": other})


@pytest.mark.parametrize("content", ["", '{"seed": 7, "conf', "[]", "{}", "\x00\x01"])
def test_a_broken_record_is_made_again_where_the_configuration_is_the_same(tmp_path, content, caplog):
    run(tmp_path / "run")
    record = tmp_path / "run/run.json"
    whole = json.loads(record.read_text())
    record.write_text(content)
    run(tmp_path / "run")
    assert "run.json is broken" in caplog.text
    assert json.loads(record.read_text()) == whole
    record.write_text(content)
    said = "another configuration (learning_rate: 0.1 -> 0.3); start over with `--resume false`"
    assert said in refused(tmp_path / "run", learning_rate=0.3)


@pytest.mark.parametrize("content", ["", "a: [", "just text", None])
def test_without_record_and_configuration_nobody_can_say(tmp_path, content):
    run(tmp_path / "run")
    (tmp_path / "run/run.json").write_text("")
    config = tmp_path / CONFIG
    config.unlink() if content is None else config.write_text(content)
    assert refused(tmp_path / "run")
    run(tmp_path / "run", resume=False)


def test_a_broken_configuration_beside_a_whole_record_is_written_again(tmp_path):
    run(tmp_path / "run")
    written = (tmp_path / CONFIG).read_text()
    (tmp_path / CONFIG).write_text("a: [")
    run(tmp_path / "run")
    assert (tmp_path / CONFIG).read_text() == written


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/run cannot be written \(Not a directory"):
        start_run(tmp_path / "file/run", 1)


@pytest.mark.slow
def test_two_runs_in_one_folder_are_refused(tmp_path):
    start_run(tmp_path / "run", 1)
    code = f"from planewise.engines import start_run; start_run({str(tmp_path / 'run')!r}, 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "planewise" in line]
    assert line.startswith(f"planewise: {tmp_path / 'run'} is in use by another run (process ")


def test_another_datalist_stops(tmp_path):
    (tmp_path / "datalist.json").write_text("{}")
    run(tmp_path / "run")
    (tmp_path / "datalist.json").write_text('{"training": []}')
    assert "datalist.json changed" in refused(tmp_path / "run")


def bundle(folder, network="@network", handlers=(), **settings) -> None:
    """A configuration with the parts that a bundle has."""
    parts = {
        "train": {"trainer": {"network": network, "rate": "@learning_rate"}, "handlers": ["@validate"]},
        "validate": {"handlers": [{"kept": 1}, *handlers], "every": "@interval"},
        "network": "$0",
        "interval": 1,
    }
    run(folder, **parts | settings)


def test_what_is_there_for_evaluation_or_several_processes_changes_no_identity(tmp_path):
    bundle(tmp_path / "run")
    bundle(
        tmp_path / "run", section="test", evaluate={"dataset": "@section"}, train_and_evaluate=["$1"], finalize=["$2"]
    )
    parallel = {
        "network": {
            "_target_": "planewise.engines.parallel_network",
            "network": "@network",
            "sync_batch_norm": "@sync_batch_norm",
        },
        "sync_batch_norm": True,
        "writes": "$True",
    }
    bundle(tmp_path / "run", **parallel)
    for other in ({"learning_rate": 0.2}, {"interval": 2}, {"network": "@another", "another": "$4"}):
        assert refused(tmp_path / "run", bundle, **parallel | other)


def test_what_it_ran_on_is_written_down(tmp_path):
    run(tmp_path / "run", amp="false", tf32=True)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["processes"] == 1 and record["precision"] == "float32"
    cores = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    assert record["devices"] == [cores[0].partition(": ")[2] if cores else "cpu"]
    # these settings do not define the run's identity
    run(tmp_path / "run", amp="false", tf32=True, device="meta", log_interval=3)


def test_resume_false_as_a_command_line_gives_it(tmp_path):
    start_run(tmp_path / "run", 1)
    record = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps(record | {"configuration": "another"}))
    (tmp_path / "run/models").mkdir()
    (tmp_path / "run/models/model.pt").touch()
    with pytest.raises(InputError, match="another configuration"):
        start_run(tmp_path / "run", 1)
    start_run(tmp_path / "run", 1, resume="false")


def test_it_works_outside_of_a_config_too(tmp_path):
    start_run(tmp_path / "run", 1)
    assert (tmp_path / "run/run.json").exists()


def test_a_config_that_trains_nothing_is_checked_too(tmp_path):
    check = {"initialize": "$planewise.engines.check_run()", "sigma": 0}
    assert "--sigma must be a number above 0, got 0" in refused(tmp_path / "run", **check)


def test_the_commit_is_of_the_repository_that_keeps_this_code(tmp_path, monkeypatch):
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    code = tmp_path / "code" / "write_run.py"
    code.parent.mkdir()
    code.touch()
    (tmp_path / "theirs").touch()
    git("init")
    git("add", "theirs")
    git("commit", "-m", "theirs")
    monkeypatch.setattr(sys.modules["planewise.engines.write_run"], "__file__", str(code))

    run(tmp_path / "unpacked")
    assert json.loads((tmp_path / "unpacked/run.json").read_text())["commit"] is None
    git("add", ".")
    git("commit", "-m", "ours")
    run(tmp_path / "kept")
    assert len(json.loads((tmp_path / "kept/run.json").read_text())["commit"]) == 40
    (tmp_path / "code/own_loss.py").touch()
    run(tmp_path / "own")
    assert json.loads((tmp_path / "own/run.json").read_text())["commit"].endswith("-dirty")


def test_the_numbers_of_processes_before_and_after_a_resume_are_recorded(tmp_path, monkeypatch):
    for processes in (2, 1, 1, 4):
        monkeypatch.setattr("ignite.distributed.get_world_size", lambda processes=processes: processes)
        run(tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["earlier_processes"], record["processes"]) == ([2, 1], 4)
    run(tmp_path / "run", resume=False)
    assert "earlier_processes" not in json.loads((tmp_path / "run/run.json").read_text())
