"""What a training run leaves beside its weights: its configuration and its record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.own_names import OURS, THEIRS
from planewise.text_files import read_json, read_yaml

#: Beside weights that ship with a bundle, in place of their run's folder: its record, with its configuration in it.
RELEASED = "record.json"
#: Where that record says which file it is of.
WEIGHTS_SUM = "weights_sha256"


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, as `planewise.engines.start_run` writes it."""

    folder: Path
    weights: Path
    config: dict[str, Any] = field(repr=False)
    """Every setting that the run had, in this package's names"""
    record: dict[str, Any] = field(repr=False)
    """``run.json``: seed, hash of the configuration, versions, commit"""

    @property
    def ships(self) -> bool:
        """Whether the weights are those that ship with a bundle."""
        return WEIGHTS_SUM in self.record

    @classmethod
    def of_weights(cls, weights: Path) -> RunRecord | None:
        """The run that wrote a file of weights; None if no file next to it tells. Nothing in it is evaluated.

        Weights that ship with a bundle have their run's record beside them. It names them by their SHA-256, so that other
        weights which took their place are not taken for them.

        Raises:
            InputError: its record or its configuration is broken.
        """
        models = weights.resolve().parent
        if (models / RELEASED).is_file():
            record = read_table(models / RELEASED)
            if record.get(WEIGHTS_SUM) == sha256(weights):
                config = _table(record.pop("config", None), models / RELEASED)
                return cls(models, weights, in_our_names(config), record)
        # a run with a folder of its own keeps its weights in it; otherwise they are the bundle's, beside eval/
        for folder in (models.parent, models.parent / "eval"):
            config, record = folder / "config.yaml", folder / "run.json"
            if models.name == "models" and config.is_file() and record.is_file():
                return cls(folder, weights, in_our_names(_table(read_yaml(config), config)), read_table(record))
        return None


def in_our_names(value: Any) -> Any:
    """A config as the bundle's own files write it: a packaged bundle's code by its name here, and references with ``#``."""
    if isinstance(value, dict):
        return {key: in_our_names(entry) for key, entry in value.items() if key != "initialize"}
    if isinstance(value, list):
        return [in_our_names(entry) for entry in value]
    if not isinstance(value, str):
        return value
    value = re.sub(rf"(?<![\w.]){THEIRS}(?=\.\w)|(?<=^\$import ){THEIRS}$", OURS, value)
    return re.sub(r"@\w+(::\w+)+", lambda reference: reference[0].replace("::", "#"), value)


def read_table(path: Path) -> dict[str, Any]:
    """A table in a JSON file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    return _table(read_json(path), path)


def _table(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings; the run was cut off, or the file is another's. Name another run")
    return content
