from __future__ import annotations

import logging
import warnings

import monai.bundle
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from planewise.engines.quiet import IDLE_LOGGERS, keep_quiet


@pytest.fixture(autouse=True)
def as_it_was():
    """No test that runs later is quiet because of these."""
    logger = logging.getLogger("monai.bundle.scripts")
    filters = list(logger.filters)
    with warnings.catch_warnings():
        yield
    logger.filters[:] = filters
    for name in IDLE_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)


def said(caplog) -> str:
    """What MONAI says where it reads images and sets an affine."""
    with warnings.catch_warnings(record=True) as caught:
        logging.getLogger(IDLE_LOGGERS[0]).addHandler(caplog.handler)
        warnings.filterwarnings("always", "another warning")
        LoadImage()
        MetaTensor(torch.zeros(1, 2, 2), affine=torch.eye(4), meta={"affine": torch.eye(4)})
        warnings.warn("another warning", stacklevel=1)
        logging.getLogger(IDLE_LOGGERS[0]).removeHandler(caplog.handler)
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
    assert "> input: (a path, not logged)" in caplog.text and "> x: (a path, not logged)" in caplog.text
    assert "ZZDOE" not in caplog.text
