from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
import types
import warnings

import monai.bundle
import pytest
import torch
from monai.apps import get_logger
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader, StatsHandler
from monai.transforms import LoadImage
from planewise.engines import quiet
from planewise.engines.quiet import ENGINE_LOGGERS, IDLE_LOGGER, keep_quiet, log_scores

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
    logging.getLogger(IDLE_LOGGER).setLevel(logging.NOTSET)


def said(caplog) -> str:
    """MONAI's messages when it reads images and sets an affine."""
    with warnings.catch_warnings(record=True) as caught:
        logging.getLogger(IDLE_LOGGER).addHandler(caplog.handler)
        warnings.filterwarnings("always", "another warning")
        LoadImage()
        MetaTensor(torch.zeros(1, 2, 2), affine=torch.eye(4), meta={"affine": torch.eye(4)})
        warnings.warn("another warning", stacklevel=1)
        logging.getLogger(IDLE_LOGGER).removeHandler(caplog.handler)
    return "\n".join([caplog.text, *(str(warning.message) for warning in caught)])


@pytest.mark.parametrize("debug", [False, True])
def test_what_nobody_can_act_on_is_kept_out_of_sight(debug, monkeypatch, caplog):
    warnings.simplefilter("always")
    monkeypatch.setenv("PLANEWISE_DEBUG", "1") if debug else monkeypatch.delenv("PLANEWISE_DEBUG", raising=False)
    keep_quiet()
    text = said(caplog)
    assert ("Setting affine" in text) == debug
    assert ("nvImageCodec" in text) == debug
    assert "another warning" in text


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
    assert "\n\n" not in caplog.text


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


@pytest.mark.slow
def test_monai_begins_a_run_with_one_line_which_an_option_of_python_turns_off(tmp_path):
    """tools/docs/packaging.md describes this; `configs/logging.conf` hides what MONAI logs before ``initialize``."""
    (tmp_path / "c.yaml").write_text(
        "imports: [$import planewise]\ninitialize: [$planewise.engines.plain_errors()]\nrun: [$0]\n"
    )
    (tmp_path / "metadata.json").write_text("{}")
    shutil.copy(ROOT / "bundles/pretext_simclr/configs/logging.conf", tmp_path)
    options = ["-m", "monai.bundle", "run", "--config_file", tmp_path / "c.yaml"]
    said = []
    for flag in ((), ("-W", "ignore:parsing config_file")):
        done = subprocess.run([sys.executable, *flag, *options], capture_output=True, text=True, check=True)
        assert "input summary" in done.stdout.splitlines()[0], done.stdout
        said.append(done.stderr.splitlines())
    (notice, *others), quiet = said
    assert notice.startswith("parsing config_file") and others == quiet


@pytest.mark.parametrize("debug", [False, True])
def test_a_pass_over_data_is_not_announced(debug, monkeypatch, caplog):
    """Ignite logs "resuming" even for a new engine, and logs where each validation begins and ends."""
    monkeypatch.setenv("PLANEWISE_DEBUG", "1") if debug else monkeypatch.delenv("PLANEWISE_DEBUG", raising=False)
    # a packaged bundle in this process has its own copy of the filter
    with monkeypatch.context() as patch:
        patch.setattr(quiet, "_shown", types.FunctionType(quiet._shown.__code__, vars(quiet), "_shown"))
        keep_quiet()
    keep_quiet()
    assert len(logging.getLogger(ENGINE_LOGGERS[0]).filters) == 1
    stats = get_logger("monai.handlers.StatsHandler", logger_handler=caplog.handler)
    said = []
    for wanted in (False, True):
        caplog.clear()
        log_scores(wanted)
        with caplog.at_level(logging.INFO):
            evaluator = SupervisedEvaluator(
                torch.device("cpu"),
                [1],
                torch.nn.Identity(),
                iteration_update=lambda engine, batch: {},
                val_handlers=[StatsHandler(iteration_log=False)],
            )
            evaluator.state.metrics["score"] = 0.5
            evaluator.run()
            stats.info("Epoch[1] Metrics -- score: 0.5")
            evaluator.logger.info("something else")
            evaluator.logger.info("Got new best metric of score: 0.5")
        passes = ("Engine run", "Epoch[1] Complete", "Got new best metric")
        assert [word in caplog.text for word in passes] == [debug] * 3 and "something else" in caplog.text
        said.append("score: 0.5" in caplog.text)
    assert said == [debug, True]


def test_monai_warns_once_at_most_of_what_a_configuration_is(monkeypatch):
    """The first configuration is read before the filter is set; later ones add no warning."""
    monkeypatch.delenv("PLANEWISE_DEBUG", raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keep_quiet()
        warnings.warn("parsing config_file ['train.yaml']: any", stacklevel=1)
    assert not caught


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
