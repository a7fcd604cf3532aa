from __future__ import annotations

import logging
import re
import warnings

import monai.bundle
import pytest
import torch
from monai.apps import get_logger
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader, StatsHandler
from planewise.engines.quiet import ENGINE_LOGGERS, keep_quiet

from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def as_it_was():
    """Restore the filters, so that they do not silence later tests."""
    loggers = [
        logging.getLogger(name) for name in ("monai.bundle.scripts", "monai.handlers.StatsHandler", *ENGINE_LOGGERS)
    ]
    filters = [list(logger.filters) for logger in loggers]
    with warnings.catch_warnings():
        yield
    for logger, before in zip(loggers, filters, strict=True):
        logger.filters[:] = before


def test_monai_logs_a_runs_settings_without_its_paths(tmp_path, caplog):
    (tmp_path / "ZZDOE_JANE").mkdir()
    config = tmp_path / "c.yaml"
    config.write_text(
        "imports: [$import planewise]\ninitialize: [$planewise.engines.plain_errors()]\nrun: [$0]\ninput: a\nsigma: 1\nx: 1\n"
    )
    logger = logging.getLogger("monai.bundle.scripts")
    logger.addHandler(caplog.handler)
    try:
        monai.bundle.run(
            config_file=str(config), logging_file=False, input="ZZDOE_JANE", sigma=3, x=str(tmp_path / "ZZDOE_JANE")
        )
    finally:
        logger.removeHandler(caplog.handler)
    assert "input summary" in caplog.text and "> sigma: 3" in caplog.text
    assert "> input" not in caplog.text and "> x" not in caplog.text and "ZZDOE" not in caplog.text


def test_the_engines_of_every_config_are_filtered():
    """MONAI's engines log under the names of their classes, and ours under those of our classes."""
    texts = [file.read_text() for file in (ROOT / "bundles").glob("*/configs/*.yaml")]
    named = {
        name for text in texts for name in re.findall(r"_target_: (?:[\w.]+\.)?(\w+(?:Trainer|Evaluator))\b", text)
    }
    assert {"BatchTrainer", "BatchEvaluator"} <= named
    assert {f"ignite.engine.engine.{name}" for name in named - {"ForestTrainer"}} <= set(ENGINE_LOGGERS)


def test_loaded_weights_are_logged_without_their_folder(tmp_path, caplog):
    network = torch.nn.Linear(1, 1)
    (tmp_path / "ZZDOE_JANE").mkdir()
    torch.save(network.state_dict(), tmp_path / "ZZDOE_JANE" / "model.pt")
    keep_quiet()
    loader = CheckpointLoader(str(tmp_path / "ZZDOE_JANE" / "model.pt"), {"model": network})
    with caplog.at_level(logging.INFO):
        SupervisedEvaluator("cpu", [torch.zeros(1)], network, val_handlers=[loader]).run()
    assert "Restored all variables from model.pt" in caplog.text and "ZZDOE" not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), ValueError("a real one")])
def test_ctrl_c_in_a_validation_has_no_traceback(error, caplog):
    """MONAI logs whatever ends an engine, and Ignite announces it twice."""
    keep_quiet()
    get_logger("monai.handlers.StatsHandler", logger_handler=caplog.handler)

    def step(engine, batch):
        raise error

    evaluator = SupervisedEvaluator(
        torch.device("cpu"), [1], torch.nn.Identity(), iteration_update=step, val_handlers=[StatsHandler()]
    )
    with pytest.raises(type(error)):
        evaluator.run()
    assert "is terminating due to exception" not in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, ValueError)
