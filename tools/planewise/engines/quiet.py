"""Filter MONAI's log: remove messages about things that users cannot change, and paths, which must not leave their
machine."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

from monai.apps import get_logger

from planewise.not_computed import PATHS

#: Warnings about conditions that are normal: no GPU decoder is needed, affines are set on purpose, and MONAI's position
#: embeddings of a transformer are as intended.
IDLE_WARNINGS = (
    "torch.meshgrid: in an upcoming release",
    "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register",
    "Setting affine, but the applied meta contains an affine",
    # MONAI warns about every configuration that it reads, and about the first one before this filter exists
    "parsing config_file",
)
#: Loggers that repeat these warnings.
IDLE_LOGGERS = ("monai.data.nvimgcodec_pydicom_plugin",)
#: Loggers of the engines that a config names; MONAI's `CheckpointLoader` logs the path of the weights to them.
ENGINE_LOGGERS = tuple(
    f"ignite.engine.engine.{name}"
    for name in ("BatchEvaluator", "BatchTrainer", "SupervisedEvaluator", "SupervisedTrainer")
)
#: MONAI's logger of scores, and of errors that end an engine.
_STATS_LOGGER = "monai.handlers.StatsHandler"
_ENDS = "is terminating due to exception"
#: Messages of Ignite and MONAI when an engine starts or ends. The engine of the validation logs them in every epoch, and
#: even a new run logs "resuming". Our own handlers log what a run does (`planewise.engines.HistoryHandler`).
_PASSES = re.compile(r"Engine run (starting|resuming|finished)|Epoch\[\d+\] Complete|Got new best metric")
_RESTORED = "Restored all variables from "
_SUMMARY = re.compile(r"> (?P<name>[^:]+): (?P<value>.*)", re.S)


def keep_quiet() -> None:
    """Remove paths from MONAI's log, and messages about things that users cannot change.

    Such messages are some warnings, the start and end of each engine, Ignite's announcement of errors that the process
    prints anyway, and the traceback of Ctrl-C. ``PLANEWISE_DEBUG=1`` shows these messages, but not the paths. Call this
    function in ``initialize``, because MONAI logs its summary of the command line afterwards. ``configs/logging.conf``
    controls MONAI's earlier messages.
    """
    for name in ("monai.bundle.scripts", *ENGINE_LOGGERS):
        logger = logging.getLogger(name)
        _remove(logger, _without_path)
        logger.addFilter(_without_path)
    debug = bool(os.environ.get("PLANEWISE_DEBUG"))
    engines = [logging.getLogger(name) for name in ENGINE_LOGGERS]
    # when this logger is first requested, get_logger adds MONAI's stream to it
    for hides, loggers in ((_no_announced_end, [get_logger(_STATS_LOGGER), *engines]), (_no_pass, engines)):
        for logger in loggers:
            _remove(logger, hides)
            if not debug:
                logger.addFilter(hides)
    log_scores(True)
    for name in IDLE_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET if debug else logging.ERROR)
    if not debug:
        for message in IDLE_WARNINGS:
            warnings.filterwarnings("ignore", re.escape(message))


def _remove(logger: logging.Logger, hides: Callable[[logging.LogRecord], bool]) -> None:
    """Remove a filter by its name. A packaged bundle in the same process has its own copy of the filter in ``scripts``."""
    for given in list(logger.filters):
        if getattr(given, "__name__", None) == hides.__name__:
            logger.removeFilter(given)


def log_scores(wanted: bool) -> None:
    """Turn MONAI's log of the scores of each epoch on or off."""
    logger = get_logger(_STATS_LOGGER)
    _remove(logger, _no_scores)
    if not wanted and not os.environ.get("PLANEWISE_DEBUG"):
        logger.addFilter(_no_scores)


def _no_scores(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(("Epoch[", "Key metric"))


def _no_pass(record: logging.LogRecord) -> bool:
    return not _PASSES.match(str(record.msg))


def _no_announced_end(record: logging.LogRecord) -> bool:
    interrupted = record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | SystemExit)
    return not interrupted and _ENDS not in str(record.msg)


def _without_path(record: logging.LogRecord) -> bool:
    """Accept every record except the paths in MONAI's summary of the command line; remove paths from other records."""
    if str(record.msg).startswith(_RESTORED):
        record.msg = f"{_RESTORED}{Path(str(record.msg).removeprefix(_RESTORED)).name}"
    found = _SUMMARY.fullmatch(str(record.msg))
    if str(record.msg).startswith("---"):
        record.msg = str(record.msg).rstrip()  # the summary ends with empty lines
    return not found or (found["name"] not in PATHS and not any(mark in found["value"] for mark in "/\\"))
