"""Check that a training writes its weights: a config that replaces the list of handlers removes the one that does."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from monai.bundle.config_item import ConfigComponent

from planewise.engines.overrides import target_of
from planewise.errors import InputError

logger = logging.getLogger(__name__)

_HANDLERS = "train#handlers"
_ARGUMENT = "train_handlers"
#: Classes whose objects write weights; the last two are MONAI's and Ignite's.
_WRITERS = frozenset(("RunHandler", "CheckpointHandler", "CheckpointSaver", "Checkpoint"))
#: Top modules whose handlers are known: the last one is this package, also inside a packaged bundle.
_KNOWN = ("monai", "ignite", __name__.partition(".")[0])
_REMEDY = (
    "to add handlers to the bundle's own, write `+train#handlers:` instead of `train#handlers:` in a file of --config_file; "
    "a list that replaces them needs planewise.engines.RunHandler, as in train.yaml"
)


def refuse_unwritten_weights(config: Mapping[str, Any]) -> None:
    """Refuse a training that would end without weights, because none of its handlers writes them.

    A handler of the user's own, or one that an expression makes, may write them: then there is only a warning.

    Args:
        config: the running config, overrides included, with references and expressions as text.

    Raises:
        InputError: all handlers are known, and none writes weights.
    """
    train = config.get("train")
    trainer = train.get("trainer") if isinstance(train, Mapping) else None
    engine = _class_of(trainer)
    if engine is None or not issubclass(engine, Engine):
        return
    handlers, name = trainer.get(_ARGUMENT), f"train#trainer#{_ARGUMENT}"
    if isinstance(handlers, str) and _HANDLERS in handlers.replace("::", "#"):
        handlers, name = train.get("handlers"), _HANDLERS
    handlers = handlers or []
    if not isinstance(handlers, list):
        return  # an expression; only the run can tell
    handlers = [
        handler
        for handler in handlers
        if not (isinstance(handler, Mapping) and ConfigComponent(dict(handler)).is_disabled())
    ]
    kinds = [_class_of(handler) for handler in handlers]
    if any(kind is not None and _WRITERS & {base.__name__ for base in kind.__mro__} for kind in kinds):
        return
    targets = [handler.get("_target_", handler) if isinstance(handler, Mapping) else handler for handler in handlers]
    names = ", ".join(map(str, targets)) or "no handler"
    if any(kind is None or kind.__module__.partition(".")[0] not in _KNOWN for kind in kinds):
        logger.warning(
            "%s has only %s; if none of them writes weights, this run leaves nothing: %s", name, names, _REMEDY
        )
        return
    raise InputError(f"{name} has only {names}, so this run would train without writing weights or a log; {_REMEDY}")


def _class_of(entry: Any) -> type | None:
    """The class of a config's entry; None if the entry is an expression or has no class that can be imported."""
    found = target_of(entry)
    return found if inspect.isclass(found) else None
