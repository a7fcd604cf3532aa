"""Filter MONAI's log: remove messages about things that users cannot change, and paths, which must not leave their
machine."""

from __future__ import annotations

import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

from monai.apps import get_logger

from planewise.not_computed import PATHS

#: Warnings about conditions that are normal: no GPU decoder is needed, affines are set on purpose, and MONAI's position
#: embeddings of a transformer are as intended.
_IDLE_WARNINGS = (
    "torch.meshgrid: in an upcoming release",
    "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register",
    "Setting affine, but the applied meta contains an affine",
    # MONAI warns about every configuration that it reads, and about the first one before this filter exists
    "parsing config_file",
)
#: Loggers of the engines that a config names; MONAI's `CheckpointLoader` logs the path of the weights to them.
ENGINE_LOGGERS = tuple(
    f"ignite.engine.engine.{name}"
    for name in ("BatchEvaluator", "BatchTrainer", "SupervisedEvaluator", "SupervisedTrainer")
)
#: MONAI's logger of scores, and of errors that end an engine.
_STATS_LOGGER = "monai.handlers.StatsHandler"
#: Messages of Ignite and MONAI when an engine starts or ends. The engine of the validation logs them in every epoch, and
#: the process prints the error that ends it. Our own handlers log what a run does.
_IDLE = re.compile(
    r"Engine run (starting|resuming|finished)|Epoch\[\d+\] Complete|Got new best metric|.*is terminating due to"
)
_RESTORED = "Restored all variables from "
_SUMMARY = re.compile(r"> (?P<name>[^:]+): (?P<value>.*)", re.S)


def keep_quiet() -> None:
    """Remove paths from MONAI's log, and messages about things that users cannot change.

    ``PLANEWISE_DEBUG=1`` shows these messages, but not the paths. Call this function in ``initialize``, because MONAI logs
    its summary of the command line afterwards. ``configs/logging.conf`` controls MONAI's earlier messages.
    """
    get_logger(_STATS_LOGGER)  # the first call adds MONAI's stream to it
    for name in ("monai.bundle.scripts", _STATS_LOGGER, *ENGINE_LOGGERS):
        _filter(name, _shown)
    if not os.environ.get("PLANEWISE_DEBUG"):
        logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
        for message in _IDLE_WARNINGS:
            warnings.filterwarnings("ignore", re.escape(message))


def _filter(name: str, function: Any) -> None:
    """Add a filter to a logger. A packaged bundle in the same process has its own copy of the filter, with the same name, in
    ``filters``."""
    logger = logging.getLogger(name)
    for given in list(logger.filters):
        if getattr(given, "__name__", None) == function.__name__:
            logger.removeFilter(given)
    logger.addFilter(function)


def _shown(record: logging.LogRecord) -> bool:
    """Remove the path of weights from a record, and tell whether the record is shown."""
    text = str(record.msg)
    if text.startswith(_RESTORED):
        record.msg = f"{_RESTORED}{Path(text.removeprefix(_RESTORED)).name}"
    elif found := _SUMMARY.fullmatch(text):
        return found["name"] not in PATHS and not any(mark in found["value"] for mark in "/\\")
    interrupted = record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | SystemExit)
    return bool(os.environ.get("PLANEWISE_DEBUG")) or not (interrupted or _IDLE.match(text))
