"""Read the files that a training run left next to its weights: settings, seed, versions, scores, and its data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from planewise.data import read_datalist
from planewise.engines.run_record import RunRecord, read_table
from planewise.engines.weights_settings import differ, holds_code, leaves
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.files.datalists import PATH_KEYS, SECTIONS, exams_in
from planewise.files.identity import in_phantom_trees
from planewise.files.text import read_json
from planewise.not_computed import FILES, NOT_COMPUTED

#: Sections whose scores show how good the weights are, the most reliable first. Scores on the training section do not show
#: this.
MEASURED_ON = ("test", "validation")


@dataclass(frozen=True)
class Run(RunRecord):
    """A run, with its scores and its data."""

    bundle: Path | None = None
    """Folder of the bundle that is packaged; most runs start in it, so their relative paths begin there"""

    @cached_property
    def scores(self) -> tuple[str, dict[str, Any]] | None:
        """The section on which the weights were scored, and its ``metrics.json``; None if they were not scored."""
        if self.ships:
            return MEASURED_ON[0], dict(self.record.get("scores", {}))
        files = {section: self.folder / section / "metrics.json" for section in MEASURED_ON}
        return next(((section, read_table(file)) for section, file in files.items() if file.is_file()), None)

    @cached_property
    def data(self) -> str | None:
        """A description of the run's training data without paths; None if its datalist is missing or has changed."""
        if self.ships:
            return self.record.get("data")
        datalist = self._datalist
        if datalist is None:
            return None
        content = read_datalist(datalist)
        exams = {section: exams_in(content, section) for section in SECTIONS}
        # the exams that were used: those with a label, and only the drawn ones
        used = self.record.get("exams", {})
        exams |= used
        section, scores = self.scores or ("", {})
        exams |= {section: scores["exams"]} if isinstance(scores.get("exams"), int) else {}
        counts = ", ".join(f"{exams[section]} {section}" for section in SECTIONS)
        drawn = None if "training" in used else self.config.get("num_subjects")
        some = f", {drawn} of the training exams drawn" if isinstance(drawn, int) else ""
        return f"{'phantoms' if self.on_phantoms else 'images'} ({counts} exams{some})"

    @cached_property
    def _datalist(self) -> Path | None:
        """The datalist that the run read; None if it no longer exists or has changed."""
        path = next(filter(Path.is_file, self._places()), None)
        if path is None or sha256(path) not in self.record.get("files", {}).values():
            return None
        return path

    @cached_property
    def on_phantoms(self) -> bool:
        """Whether the run's exams are phantoms, according to the file that marks a tree of phantoms."""
        if self.ships:
            return "phantoms" in self.record
        datalist = self._datalist
        if datalist is None:
            return False
        content = read_datalist(datalist)
        items = [item for section in SECTIONS for item in content.get(section, [])]
        paths = [path for item in items for key in PATH_KEYS if key in item for path in ensure_tuple(item[key])]
        folders = {(datalist.parent / path).resolve().parent for path in paths}
        return in_phantom_trees(folders)

    def _places(self) -> list[Path]:
        """Where the datalist may be: a relative path starts in the bundle's folder, in the working directory, in the run's
        folder or in a folder above it."""
        path = self.config.get("datalist")
        if not isinstance(path, str) or not path or path.startswith(("$", "@")):
            return []
        folders = [*([self.bundle] if self.bundle else []), Path(), self.folder, *self.folder.parents]
        return [folder / Path(path).expanduser() for folder in folders]

    def settings_unlike(self, train: Mapping[str, Any]) -> dict[str, Any]:
        """The plain settings (numbers, text, lists and tables of them) that a training config lacks or has with another
        value, except those with paths or about the machine."""
        others = {key: value for key, value in self.config.items() if key not in NOT_COMPUTED and key not in FILES}
        return {
            key: value
            for key, value in others.items()
            if (key not in train or differ(train[key], value)) and not holds_code(value) and not _holds_a_path(value)
        }


def flat_scores(scores: Any, name: str = "") -> dict[str, float]:
    """Flatten nested scores: ``{"RV": {"dice": {"mean": 0.5, ...}}}`` becomes ``{"RV_dice": 0.5, "RV_dice_sd": ...}``.

    Numbers are rounded to four digits. Unknown values (null), lists, tables, and the entry ``trust`` (bounds of a test
    set's planes) are left out.
    """
    if isinstance(scores, Mapping):
        if set(scores) == {"mean", "sd", "median"}:  # a result of `planewise.reports.tables.summary`
            return flat_scores(scores["mean"], name) | flat_scores(scores["sd"], f"{name}_sd")
        flat: dict[str, float] = {}
        for key, value in scores.items():
            flat |= flat_scores(value, f"{name}_{key}".strip("_").replace(" ", "_")) if key != "trust" else {}
        return flat
    if isinstance(scores, bool) or not isinstance(scores, (int, float)) or not math.isfinite(scores):
        return {}
    return {name: scores if isinstance(scores, int) else round(scores, 4)}


def read_scores(path: Path) -> dict[str, Any]:
    """Read scores from a JSON file that a user named.

    Raises:
        InputError: the file cannot be read, or contains no number.
    """
    try:
        content = read_json(path, "scores")
    except InputError as error:
        raise InputError(f"{error}; it must be the metrics.json of a report") from None
    if not isinstance(content, dict) or not flat_scores(content):
        raise InputError(f"{path} holds no scores; name a JSON file whose top level is an object with numbers in it")
    return content


def _holds_a_path(value: Any) -> bool:
    return any(mark in str(text) for text in leaves(value) for mark in "/\\~")
