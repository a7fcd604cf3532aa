"""Test that MONAI's ``--tracking mlflow`` gets the settings, the scores and the report of every bundle."""

from __future__ import annotations

import json

import pytest
from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from planewise.engines.tracking import ReportLogger, complete_tracking

from tests.conftest import ROOT


@pytest.mark.parametrize(
    "bundle", sorted(path.parents[1] for path in ROOT.glob("bundles/*/configs/train.yaml")), ids=lambda path: path.name
)
def test_the_settings_the_config_and_the_report_of_every_bundle_are_tracked(bundle, tmp_path):
    parser = ConfigParser()
    parser.read_config([str(bundle / f"configs/{name}.yaml") for name in ("train", "evaluate")])
    parser["output_dir"] = str(tmp_path / "run")
    complete_tracking(parser, True)
    assert "MLFlow" not in str(parser.get("train")), "nothing is tracked unless asked"
    ConfigWorkflow.patch_bundle_tracking(parser, DEFAULT_MLFLOW_SETTINGS)
    for _ in range(2):
        complete_tracking(parser, True)
    (trainer,) = [each for each in parser["train"]["handlers"] if each["_target_"] == "MLFlowHandler"]
    # the training and its evaluation are one run of MLflow
    assert trainer["experiment_param"]["seed"] == 0 and not trainer["close_on_complete"]
    assert not {"output_dir", "datalist", "max_epochs", "network_def"} & trainer["experiment_param"].keys()
    *_, logger = parser["evaluate"]["handlers"]
    assert str(parser["evaluate"]["handlers"]).count("ReportLogger") == 1 and logger["report_dir"] == "@report_dir"
    assert "report_dir" in parser
    (config,) = (tmp_path / "run").glob("config_*.json")
    assert parser.get_parsed_content("save_execute_config") == str(config)
    assert str(tmp_path) not in config.read_text() and '"seed"' in config.read_text()
    assert parser["run_name"].startswith("run_")


def test_a_report_arrives_in_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/metrics.json").write_text(
        json.dumps({"mean": {"dice": {"mean": 0.5}}, "exams": 2, "names": ["a"]})
    )
    (tmp_path / "test/roc.png").write_bytes(b"a picture")
    where = {"tracking_uri": f"sqlite:///{tmp_path}/mlruns.db", "experiment_name": "hearts"}
    engine = Engine(lambda engine, batch: None)
    ReportLogger(tmp_path / "test", experiment_param={"seed": 7}, **where).attach(engine)
    engine.run([0])
    client = mlflow.MlflowClient(where["tracking_uri"])
    (run,) = client.search_runs([client.get_experiment_by_name("hearts").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["seed"] == "7"
    assert run.data.metrics == {"mean_dice_mean": 0.5, "exams": 2.0}
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == {"metrics.json", "roc.png"}
