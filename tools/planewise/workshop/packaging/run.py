"""The origin of packaged weights: what a training run left next to them (settings, seed, versions), their scores, and the
exams of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from planewise.data import read_datalist
from planewise.engines.run_record import PATIENTS, RunRecord, read_table
from planewise.errors import InputError
from planewise.evaluation.report import read_scored
from planewise.files.checksum import sha256
from planewise.files.datalists import PATH_KEYS, SECTIONS
from planewise.files.identity import in_phantom_trees
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.workshop.packaging.configs import settings_unlike

#: Sections whose scores show how good the weights are, the most reliable first. Scores on the training section do not show
#: this.
MEASURED_ON = ("test", "validation")


@dataclass(frozen=True)
class Run(RunRecord):
    """A run, with its scores and its data. Most runs start in the folder of the ``bundle``, so relative paths begin there."""

    bundle: Path | None = None

    @cached_property
    def scores(self) -> tuple[str, dict[str, Any]] | None:
        """The section on which the weights were scored, and its ``metrics.json``; None if they were not scored."""
        if self.ships:
            return MEASURED_ON[0], dict(self.record.get("scores", {}))
        files = {section: self.folder / section / "metrics.json" for section in MEASURED_ON}
        return next(((section, read_table(file)) for section, file in files.items() if file.is_file()), None)

    @cached_property
    def data(self) -> str | None:
        """A description of the run's training data without paths; None if it counted no exams, or if its datalist is
        missing or has changed."""
        if self.ships:
            return self.record.get("data")
        section, scores = self.scores or ("", {})
        used = self.record.get("exams", {}) | (
            {section: scores["exams"]} if isinstance(scores.get("exams"), int) else {}
        )
        if self.datalist is None or not used:
            return None
        counts = ", ".join(f"{count} {section}" for section, count in used.items())
        return f"{'phantoms' if self.on_phantoms else 'images'} ({counts} exams)"

    @cached_property
    def datalist(self) -> Path | None:
        """The datalist that the run read; None if it no longer exists or has changed. A relative path starts in the bundle's
        folder, in the working directory, in the run's folder or in a folder above it."""
        name = self.config.get("datalist")
        if not isinstance(name, str) or not name or name.startswith(("$", "@")):
            return None
        folders = [*([self.bundle] if self.bundle else []), Path(), self.folder, *self.folder.parents]
        path = next((path for folder in folders if (path := folder / Path(name).expanduser()).is_file()), None)
        return path if path and sha256(path) in self.record.get("files", {}).values() else None

    @cached_property
    def on_phantoms(self) -> bool:
        """Whether the run's exams are phantoms, according to the file that marks a tree of phantoms."""
        if self.ships:
            return "phantoms" in self.record
        datalist = self.datalist
        if datalist is None:
            return False
        content = read_datalist(datalist)
        items = [item for section in SECTIONS for item in content.get(section, [])]
        paths = [path for item in items for key in PATH_KEYS if key in item for path in ensure_tuple(item[key])]
        folders = {(datalist.parent / path).resolve().parent for path in paths}
        return in_phantom_trees(folders)


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


#: Entries of a run's record that are part of the card; none of them names a person, a path or a machine.
_RECORD = ("configuration", "seed", "commit", "python", "packages", "processes", "started_from")


@dataclass(frozen=True)
class Provenance:
    """The origin of a packaged bundle's weights and scores."""

    scores: Mapping[str, Any]
    measured_on: str  # description of the exams
    data: str  # description of the training and test data
    run: Run  # that made the weights
    sha256: str  # of the weights' file before packaging; the package has the same values in another file

    def eval_metrics(self) -> dict[str, Any]:
        """The scores as ``eval_metrics`` in metadata.json."""
        return {"measured_on": self.measured_on, **flat_scores(self.scores)}

    def origin(self, train: Mapping[str, Any]) -> dict[str, Any]:
        """What the card says of the weights: checksum, record of their run, and settings unlike the bundle's ``train``."""
        # pages and DICOM reports of `planewise plan` and `segment` name this checksum
        facts: dict[str, Any] = {"weights before packaging (SHA-256)": self.sha256}
        record = self.run.record
        facts |= {key: record[key] for key in _RECORD if key in record}
        facts["datalists (SHA-256)"] = list(record.get("files", {}).values())
        if self.scores.get("never_predicted"):
            facts["never predicted in the exams of the scores"] = list(map(str, self.scores["never_predicted"]))
        if (imagenet := self.run.config.get("imagenet")) not in NO_WEIGHTS:
            facts["public ImageNet weights, with a licence of their own"] = Path(str(imagenet)).name
        changed = settings_unlike(self.run.config, train)
        return facts | ({"settings that differ from configs/train.yaml of the bundle": changed} if changed else {})


def find_provenance(weights: Path, run: Run | None, data: str | None) -> Provenance:
    """The origin of a weights file that a run made; ``data`` describes the training and test data, instead of the run's own.

    Raises:
        InputError: there is no run, it has no scores, they belong to other weights, or the data is not known.
    """
    if run is None or run.scores is None:
        at = f"no metrics.json in {run.folder}/test or /validation" if run else f"no run next to {weights}"
        raise InputError(
            f"these weights have no scores: there is {at}. Evaluate them (configs/train.yaml with configs/evaluate.yaml on "
            "top), and name the run's folder"
        )
    text = f"phantoms: {data}" if data and run.on_phantoms else data or run.data
    if not text:
        raise InputError(
            f"the training and test data of {weights} is not known; describe it, for example with --data '100 "
            "exams of ...'"
        )
    section, measured = run.scores
    where = f"section {section} of {text}"
    if not run.ships:
        file = run.folder / section / "metrics.json"
        scored = read_scored(file)
        if scored is None or scored["weights"] != sha256(weights):
            raise InputError(f"the scores in {file} are not of {weights}; evaluate again (configs/evaluate.yaml)")
        own = scored["datalist"] in run.record.get("files", {}).values()
        exams = text if own else f"another datalist (SHA-256 {scored['datalist']})"
        where = f"section {scored['section']} of {exams}"
    elif patients := run.record.get(PATIENTS):
        measured = {PATIENTS: patients["scores"]} | measured
        where = f"{patients['data']} (scores {PATIENTS}_...); the other scores: {where}"
    return Provenance(measured, where, text, run, sha256(weights))
