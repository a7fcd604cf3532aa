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
#: A logger that repeats these warnings.
IDLE_LOGGER = "monai.data.nvimgcodec_pydicom_plugin"
#: Loggers of the engines that a config names; MONAI's `CheckpointLoader` logs the path of the weights to them.
ENGINE_LOGGERS = tuple(
    f"ignite.engine.engine.{name}"
    for name in ("BatchEvaluator", "BatchTrainer", "SupervisedEvaluator", "SupervisedTrainer")
)
#: MONAI's logger of scores, and of errors that end an engine.
_STATS_LOGGER = "monai.handlers.StatsHandler"
#: Messages of Ignite and MONAI when an engine starts or ends. The engine of the validation logs them in every epoch, even a
#: new run logs "resuming", and the process prints the error that ends it. Our own handlers log what a run does.
_IDLE = re.compile(
    r"Engine run (starting|resuming|finished)|Epoch\[\d+\] Complete|Got new best metric|.*is terminating due to"
)
_RESTORED = "Restored all variables from "
_SUMMARY = re.compile(r"> (?P<name>[^:]+): (?P<value>.*)", re.S)


def keep_quiet() -> None:
    """Remove paths from MONAI's log, and messages about things that users cannot change.

    Such messages are some warnings, the start and end of each engine, Ignite's announcement of errors that the process
    prints anyway, and the traceback of Ctrl-C. ``PLANEWISE_DEBUG=1`` shows these messages, but not the paths. Call this
    function in ``initialize``, because MONAI logs its summary of the command line afterwards. ``configs/logging.conf``
    controls MONAI's earlier messages.
    """
    get_logger(_STATS_LOGGER)  # the first call adds MONAI's stream to it
    for name in ("monai.bundle.scripts", _STATS_LOGGER, *ENGINE_LOGGERS):
        _filter(name, _shown)
    log_scores(True)
    debug = bool(os.environ.get("PLANEWISE_DEBUG"))
    logging.getLogger(IDLE_LOGGER).setLevel(logging.NOTSET if debug else logging.ERROR)
    for message in () if debug else _IDLE_WARNINGS:
        warnings.filterwarnings("ignore", re.escape(message))


def log_scores(wanted: bool) -> None:
    """Turn MONAI's log of the scores of each epoch on or off."""
    _filter(_STATS_LOGGER, _no_scores, not wanted and not os.environ.get("PLANEWISE_DEBUG"))


def _filter(name: str, function: Any, wanted: bool = True) -> None:
    """Add a filter to a logger, or remove it. A packaged bundle in the same process has its own copy of the filter, with the
    same name, in ``filters``."""
    logger = logging.getLogger(name)
    for given in list(logger.filters):
        if getattr(given, "__name__", None) == function.__name__:
            logger.removeFilter(given)
    if wanted:
        logger.addFilter(function)


def _no_scores(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(("Epoch[", "Key metric"))


def _shown(record: logging.LogRecord) -> bool:
    """Remove the path of weights from a record, and tell whether the record is shown."""
    text = str(record.msg)
    if text.startswith(_RESTORED):
        record.msg = f"{_RESTORED}{Path(text.removeprefix(_RESTORED)).name}"
    elif text.startswith("---"):
        record.msg = text.rstrip()  # the summary ends with empty lines
    elif found := _SUMMARY.fullmatch(text):
        return found["name"] not in PATHS and not any(mark in found["value"] for mark in "/\\")
    interrupted = record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | SystemExit)
    return bool(os.environ.get("PLANEWISE_DEBUG")) or not (interrupted or _IDLE.match(text))
