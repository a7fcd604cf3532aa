"""Run a bundle's inference in this process, like `python -m monai.bundle run`."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from planewise.data import ReadableItems
from planewise.errors import InputError, causes, refusal
from planewise.findings import Finding


def run_inference(
    bundle: str | Path, settings: Mapping[str, object], watch: Callable[[], None] | None = None
) -> dict[str, Finding]:
    """Run ``configs/inference.yaml`` of a bundle, as in the bundle's own documentation.

    With ``PLANEWISE_DEBUG=1``, errors other than an `InputError` are raised unchanged, with their traceback.

    Args:
        bundle: the bundle's folder.
        settings: overrides; None keeps the configuration's own value.
        watch: called after every input, to show progress.

    Returns:
        The exams that the run refused, with the reasons.

    Raises:
        InputError: there is no such bundle, or the run failed; in this case, the error comes from the run.
    """
    bundle = Path(bundle).resolve()
    config = bundle / "configs" / "inference.yaml"
    if not config.is_file():
        raise InputError(f"there is no bundle in {bundle}; name a bundle's folder")
    given = {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items() if value is not None
    }
    try:
        with _as_if_alone(bundle):
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
            dataset = getattr(workflow.evaluator.state.dataloader, "dataset", None)
    except Exception as error:
        refused = refusal(error)
        if refused is None and os.environ.get("PLANEWISE_DEBUG"):
            raise
        if isinstance(refused, InputError):
            raise refused  # noqa: B904  (it may be a cause of the error)
        first = causes(error)[-1]
        ended = f"{bundle.name} ended with an error: {type(first).__name__}: {first}".splitlines()[0]
        raise InputError(str(refused or ended)) from error
    return dict(dataset.refused) if isinstance(dataset, ReadableItems) else {}


@contextmanager
def _as_if_alone(bundle: Path) -> Iterator[None]:
    """Run as in a separate process: silence logs and warnings, and restore them afterwards."""
    # MONAI's own logger of workflows writes to the standard output, bypassing the root logger
    loggers = [logging.getLogger(name) for name in (None, ConfigWorkflow.__module__)]
    logged = [(logger.level, logger.handlers[:]) for logger in loggers]
    hook, path = sys.excepthook, sys.path[:]
    sys.path.insert(0, str(bundle))
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.handlers[:] = [logging.NullHandler()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.excepthook, sys.path[:] = hook, path
        for logger, (level, handlers) in zip(loggers, logged, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = handlers
