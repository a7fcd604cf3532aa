from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.engines import start_run, warn_of_unknown_overrides
from planewise.errors import InputError


def run(folder, resume: bool = True, **settings) -> None:
    """As a bundle does it: an expression in a config, evaluated by MONAI."""
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


def test_the_run_is_written_down(tmp_path):
    (tmp_path / "datalist.json").write_text("{}")
    run(tmp_path / "run", learning_rate=0.3)
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert written["learning_rate"] == 0.3
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["seed"] == 7 and record["packages"]["monai"] and record["files"]["datalist.json"]


def test_no_path_of_an_item_is_written(tmp_path):
    run(tmp_path / "run")
    assert "DOE" not in (tmp_path / "run/config.yaml").read_text() + (tmp_path / "run/run.json").read_text()
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["items"] == "1 items"


def test_the_seed_is_set(tmp_path):
    run(tmp_path / "run")
    first = torch.rand(3)
    run(tmp_path / "run")
    assert torch.equal(torch.rand(3), first)


def test_the_same_configuration_goes_on_whatever_the_device(tmp_path):
    run(tmp_path / "run")
    run(tmp_path / "run", device="cuda:0")


def test_another_configuration_stops_and_says_what_differs(tmp_path):
    run(tmp_path / "run")
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path / "run", learning_rate=0.3)
    message = str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, InputError)
    assert "learning_rate: 0.1 -> 0.3" in message and "--resume false" in message
    run(tmp_path / "run", resume=False, learning_rate=0.3)


def test_another_datalist_stops(tmp_path):
    (tmp_path / "datalist.json").write_text("{}")
    run(tmp_path / "run")
    (tmp_path / "datalist.json").write_text('{"training": []}')
    with pytest.raises(RuntimeError) as caught:
        run(tmp_path / "run")
    assert "datalist.json changed" in str(caught.value.__cause__)


def test_it_works_outside_of_a_config_too(tmp_path):
    start_run(tmp_path / "run", 1)
    assert (tmp_path / "run/run.json").exists()


def test_unknown_overrides_are_named_with_the_nearest_known(tmp_path, caplog):
    (tmp_path / "train.yaml").write_text("sigma: 6\ntrain:\n  trainer:\n    max_epochs: 3\n")
    arguments = ["run", "--config_file", str(tmp_path / "train.yaml"), "--sigmaa", "3", "--sigma=4"]
    arguments += ["--train#trainer#max_epochs", "1", "--run_id", "evaluate"]
    with caplog.at_level(logging.WARNING):
        assert warn_of_unknown_overrides(arguments) == ["sigmaa"]
    assert "--sigmaa is not a setting of this config and has no effect; did you mean --sigma?" in caplog.text


def test_several_files_are_known_together(tmp_path):
    (tmp_path / "a.yaml").write_text("sigma: 6\n")
    (tmp_path / "b.yaml").write_text("section: test\n")
    files = f"['{tmp_path}/a.yaml','{tmp_path}/b.yaml']"
    assert warn_of_unknown_overrides(["--config_file", files, "--section", "x", "--sigma", "3"]) == []
    assert warn_of_unknown_overrides(["pytest", "-x", "--tb=short"]) == []


@pytest.mark.parametrize(("error", "shown", "hidden"), [("InputError", "planewise: index it again", "Traceback")])
def test_an_input_error_ends_the_process_with_its_message_alone(error, shown, hidden):
    code = (
        "from planewise.engines import plain_errors; from planewise.errors import InputError; plain_errors()\n"
        "try:\n raise InputError('index it again')\nexcept InputError as e:\n raise RuntimeError('wrapped') from e"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(shown) and hidden not in done.stderr
