"""Run a bundle's inference in this process, like `python -m monai.bundle run`, and collect its remarks for the user."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from planewise.errors import InputError, causes, refusal

_SAID = re.compile(r"exam .*")


def run_inference(
    bundle: str | Path, settings: Mapping[str, object], watch: Callable[[], None] | None = None
) -> list[str]:
    """Run ``configs/inference.yaml`` of a bundle, as in the bundle's own documentation.

    With ``PLANEWISE_DEBUG=1``, errors other than an `InputError` are raised unchanged, with their traceback.

    Args:
        bundle: the bundle's folder.
        settings: overrides; None keeps the configuration's own value.
        watch: called after every input, to show progress.

    Returns:
        The run's remarks on exams, one per line.

    Raises:
        InputError: there is no such bundle, or the run failed; in this case, the message comes from the run.
    """
    bundle = Path(bundle).resolve()
    config = bundle / "configs" / "inference.yaml"
    if not config.is_file():
        raise InputError(f"there is no bundle in {bundle}; name the folder that contains the bundles with --bundles")
    given = {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items() if value is not None
    }
    heard = _Heard()
    try:
        with _as_if_alone(bundle, heard):
            workflow = ConfigWorkflow(
                str(config), logging_file=False, workflow_type="inference", bundle_root=str(bundle), **given
            )
            workflow.initialize()
            if wrong := workflow.check_properties():
                raise InputError(
                    f"configs/inference.yaml of {bundle.name} does not follow MONAI's bundle specification in "
                    f"{', '.join(wrong)}; compare it with the configs of the repository's bundles"
                )
            if watch is not None:
                workflow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda _: watch())
            workflow.run()
            workflow.finalize()
    except Exception as error:
        refused = refusal(error)
        if refused is None and os.environ.get("PLANEWISE_DEBUG"):
            raise
        chain = causes(error)
        why = refused or _ended(bundle.name, chain[-1], heard.lines)
        raise InputError(str(why)) from error
    return list(heard.lines)


def _ended(name: str, first: BaseException, said: Mapping[str, None]) -> str:
    """Describe the end of a failed run in one line: the original cause of the error, and the earlier remarks on exams."""
    why = f"{type(first).__name__}: {first}".splitlines()[0]
    doubts = "; ".join(line for line in said if line.startswith("exam "))
    return f"{name} ended with an error: {why}" + (f" (before it: {doubts})" if doubts else "")


class _Heard(logging.Handler):
    """Collect the remarks on exams in order, without duplicates."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno <= logging.WARNING and (said := _SAID.match(record.getMessage())):
            self.lines[said[0]] = None


@contextmanager
def _as_if_alone(bundle: Path, heard: logging.Handler) -> Iterator[None]:
    """Give a run its own log, as in a separate process, and restore the earlier ones afterwards."""
    # MONAI's own logger of workflows writes to the standard output, bypassing the root logger
    loggers = [logging.getLogger(name) for name in (None, ConfigWorkflow.__module__)]
    logged = [(logger.level, logger.handlers[:]) for logger in loggers]
    hook, path = sys.excepthook, sys.path[:]
    sys.path.insert(0, str(bundle))
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.handlers[:] = [heard]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.excepthook, sys.path[:] = hook, path
        for logger, (level, handlers) in zip(loggers, logged, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
