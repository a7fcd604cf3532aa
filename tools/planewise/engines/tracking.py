"""Complete what MONAI's option ``--tracking mlflow`` records of a run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.handlers import MLFlowHandler

from planewise.engines.run_record import holds_code
from planewise.files.text import read_json
from planewise.reports.tables import nested_numbers, write_json
from planewise.settings import NOT_COMPUTED, PATHS


class ReportLogger(MLFlowHandler):
    """Record an evaluation's report: the numbers of ``metrics.json`` as MLflow's metrics, and its files as artifacts.

    Args:
        report_dir: the folder of the report.
        arguments: those of MONAI's handler.
    """

    def __init__(self, report_dir: str | Path, **arguments: Any) -> None:
        super().__init__(iteration_log=False, artifacts=str(report_dir), close_on_complete=True, **arguments)
        self.scores = Path(report_dir) / "metrics.json"

    def complete(self) -> None:
        """Record the report when the evaluation has ended."""
        super().complete()
        if self.scores.is_file():
            self._log_metrics(nested_numbers(read_json(self.scores)))


def complete_tracking(parser: ConfigParser, evaluates: bool) -> None:
    """Add to a config that MONAI has prepared for MLflow what MONAI leaves out: the settings as parameters, the config as a
    file, and the report of an evaluation. Nothing is changed without ``--tracking``, or a second time.

    Args:
        parser: the running config.
        evaluates: whether an evaluation follows the training; both are then one run of MLflow.
    """
    if "tracking_uri" not in parser or "save_execute_config" not in parser:
        return
    # with --output_dir, MONAI makes a text of two parts, which names no file (findings/monai_mlflow_config.sh)
    if name := re.search(r"(?<!\$) \+ '/(config_\w+\.json)'$", str(parser["save_execute_config"])):
        file = Path(str(parser.get_parsed_content("output_dir")), name[1])
        content = {key: value for key, value in read_json(file).items() if key not in {*PATHS, "save_execute_config"}}
        write_json(file, content)
        parser["save_execute_config"] = str(file)
    # a resumed run may have more epochs, and MLflow refuses another value of a parameter
    left = {*NOT_COMPUTED, *PATHS, "max_epochs", ConfigParser.meta_key}
    settings = {key: value for key, value in parser.get().items() if key not in left and not holds_code(value)}
    if parser.get("run_name") is None:
        # otherwise MONAI goes on with any run of the experiment that has not ended, also of other settings
        digest = hashlib.sha256(json.dumps([str(parser.get("output_dir")), settings], default=str).encode())
        parser["run_name"] = f"run_{digest.hexdigest()[:12]}"
    own = {"experiment_param": settings, "close_on_complete": not evaluates}
    if "train" in parser:
        parser["train#handlers"] = [
            each | own if str(each.get("_target_")).endswith("MLFlowHandler") else each
            for each in parser["train#handlers"]
        ]
    if "evaluate" in parser and not any("ReportLogger" in str(each) for each in parser["evaluate#handlers"]):
        same = {key: f"@{key}" for key in ("report_dir", "tracking_uri", "experiment_name", "run_name")}
        # a packaged bundle has its own name for this module
        target = {"_target_": f"{__name__}.{ReportLogger.__name__}", "_disabled_": "@is_not_rank0"}
        parser["evaluate#handlers"] = [*parser["evaluate#handlers"], target | same]
