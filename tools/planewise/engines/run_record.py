"""Read the configuration and the record that a training run leaves next to its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planewise.engines.own_names import OURS, THEIRS
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.files.text import read_json, read_yaml

#: The folder of a run that holds its configs, as a bundle.
BUNDLE = "bundle"
#: The record next to weights that ship with a bundle. It takes the place of a run's folder, so it includes the configuration.
RELEASED = "record.json"
#: Key of the record that contains the SHA-256 of the weights file.
WEIGHTS_SUM = "weights_sha256"
#: Key of the record that contains the scores on real patients, from whom the weights have not learned: ``data`` (the patients
#: in words), ``source`` and ``scores``.
PATIENTS = "patients"


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, written by `planewise.engines.start_run`."""

    folder: Path
    weights: Path
    config: dict[str, Any] = field(repr=False)
    """Every setting of the run, with this package's module names"""
    record: dict[str, Any] = field(repr=False)
    """``run.json``: seed, hash of the configuration, versions, commit"""

    @property
    def ships(self) -> bool:
        """Whether the weights are those that ship with a bundle."""
        return WEIGHTS_SUM in self.record

    @property
    def channels(self) -> list[str]:
        """Names of the channels of the images from which the weights learned, in order; empty if they are unknown."""
        names = self.record.get("channels")
        return list(map(str, names)) if isinstance(names, list) else []

    @property
    def bundle_name(self) -> str:
        """Name of the bundle that was trained; empty if it is unknown."""
        return (
            self.weights.absolute().parent.parent.name if self.ships else Path(str(self.config.get("bundle_root"))).name
        )

    @classmethod
    def of_weights(cls, weights: Path) -> RunRecord | None:
        """The run that wrote a weights file; None if no file next to the weights identifies it. The files are read as data.

        Weights that ship with a bundle have the record of their run next to them. It contains their SHA-256, so that
        other weights at the same path are not mistaken for them.

        Raises:
            InputError: the run's record or configuration is broken.
        """
        models = weights.resolve().parent
        if (models / RELEASED).is_file():
            record = read_table(models / RELEASED)
            if record.get(WEIGHTS_SUM) == sha256(weights):
                config = as_table(record.pop("config", None), models / RELEASED)
                return cls(models, weights, in_our_names(config), record)
        # the weights are in the run's own folder, or else in the bundle's folder, next to eval/
        for folder in (models.parent, models.parent / "eval"):
            config, record = config_file(folder), folder / "run.json"
            if models.name == "models" and config.is_file() and record.is_file():
                settings = in_our_names(as_table(read_yaml(config), config))
                return cls(folder, weights, settings, read_table(record))
        return None


def config_file(folder: Path) -> Path:
    """The configuration of a run in its folder; a run of version 0.1 has it in ``config.yaml``."""
    own = folder / BUNDLE / "configs" / "train.yaml"
    return own if own.is_file() else folder / "config.yaml"


def scores_in_words(patients: Mapping[str, Any]) -> str:
    """The most important scores of a segmentation on patients, from the record of its weights (`PATIENTS`)."""
    scores = patients["scores"]

    def each(name: str, digits: int, unit: str) -> str:
        known = {key: entry[name]["mean"] for key, entry in scores["structures"].items() if name in entry}
        # rounded to four digits first, as in metadata.json, so that the model card has the same digits
        return ", ".join(
            f"{key} {round(value, 4):.{digits}f}{unit}" for key, value in known.items() if value is not None
        )

    return (
        f"mean Dice {scores['mean']['dice']['mean']:.3f} ({each('dice', 3, '')}) on {patients['data']}; mean absolute "
        f"error of the ejection fraction: {each('ejection_fraction_distance_pct', 1, ' points')}; mean difference of the "
        f"end-diastolic volume: {each('diastole_volume_error_ml', 1, ' ml')}"
    )


def in_our_names(value: Any) -> Any:
    """Convert a config to the form of a bundle's own files, in which code has this package's name and references use ``#``.

    The config of a packaged bundle uses another name of the package.
    """
    if isinstance(value, dict):
        return {key: in_our_names(entry) for key, entry in value.items() if key != "initialize"}
    if isinstance(value, list):
        return [in_our_names(entry) for entry in value]
    if not isinstance(value, str):
        return value
    value = re.sub(rf"(?<![\w.]){THEIRS}(?=\.\w)|(?<=^\$import ){THEIRS}$", OURS, value)
    return re.sub(r"@\w+(::\w+)+", lambda reference: reference[0].replace("::", "#"), value)


def read_table(path: Path) -> dict[str, Any]:
    """Read a table from a JSON file.

    Raises:
        InputError: the file cannot be read, or contains something else.
    """
    return as_table(read_json(path), path)


def as_table(content: Any, path: Path) -> dict[str, Any]:
    """The content of a file that must be a table of settings."""
    if not isinstance(content, dict):
        raise InputError(
            f"{path} contains no settings, because the run was interrupted or the file is not from a run; name another run"
        )
    return content
