"""The origin of packaged weights: their run, their scores, and the exams of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.engines.run_record import PATIENTS
from planewise.errors import InputError
from planewise.evaluation.report import read_scored
from planewise.files.checksum import sha256
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.workshop.packaging.run import MEASURED_ON, Run, flat_scores, read_scores

#: Entries of a run's record that are part of the card; none of them names a person, a path or a machine.
_RECORD = ("configuration", "seed", "commit", "python", "packages", "processes", "started_from")


@dataclass(frozen=True)
class Provenance:
    """The origin of a packaged bundle's weights and scores."""

    scores: Mapping[str, Any]
    measured_on: str
    """Description of the exams"""
    data: str
    """Description of the training and test data"""
    run: Run | None
    """The run that made the weights; None if it no longer exists"""
    sha256: str
    """Checksum of the weights' file before packaging; the package has the same values in another file"""

    @property
    def ours(self) -> bool:
        """Whether the weights ship with the bundle."""
        return self.run is not None and self.run.ships

    def eval_metrics(self) -> dict[str, Any]:
        """The scores as ``eval_metrics`` in metadata.json."""
        return {"measured_on": self.measured_on, **flat_scores(self.scores)}

    def origin(self, train: Mapping[str, Any]) -> dict[str, Any]:
        """What the card says of the weights: checksum and record of their run, and the settings that differ from
        those of the bundle's training config (``train``).
        """
        # pages and DICOM reports of `planewise plan` and `segment` name this checksum
        facts: dict[str, Any] = {"weights before packaging (SHA-256)": self.sha256}
        if self.run is None:
            return facts | {"run": "not known: the weights come without it"}
        record = self.run.record
        facts |= {key: record[key] for key in _RECORD if key in record}
        facts["datalists (SHA-256)"] = list(record.get("files", {}).values())
        if self.scores.get("never_predicted"):
            facts["never predicted in the exams of the scores"] = list(map(str, self.scores["never_predicted"]))
        if (imagenet := self.run.config.get("imagenet")) not in NO_WEIGHTS:
            facts["public ImageNet weights, with a licence of their own"] = Path(str(imagenet)).name
        changed = self.run.settings_unlike(train)
        return facts | ({"settings that differ from configs/train.yaml of the bundle": changed} if changed else {})


def find_provenance(weights: Path, run: Run | None, scores: str | Path | None, data: str | None) -> Provenance:
    """The origin of weights.

    Args:
        weights: their file.
        run: the run that made them.
        scores: a file of scores, instead of the run's.
        data: a description of the training and test data, instead of the run's.

    Raises:
        InputError: there are no scores, they belong to other weights or to the exams from which the weights learned, or the
            data is not known.
    """
    text = data or (run.data if run else None)
    if data and run is not None and run.on_phantoms:
        text = f"phantoms: {data}"
    if scores is not None:
        file = Path(scores).expanduser()
        measured = read_scores(file)
    elif run is not None and run.scores is not None:
        section, measured = run.scores
        file = run.folder / section / "metrics.json"
    else:
        at = f"no metrics.json in {run.folder}/test or /validation" if run else f"no run next to {weights}"
        raise InputError(
            f"these weights have no scores: there is {at}. Evaluate them (configs/train.yaml with "
            "configs/evaluate.yaml on top), or name a scores file with --scores"
        )
    if not text:
        raise InputError(
            f"the training and test data of {weights} is not known; describe it, for example with --data '100 "
            "exams of ...'"
        )
    scored = read_scored(file)
    if run is not None and run.ships and scores is None:
        where = f"section {section} of {text}"
        if patients := run.record.get(PATIENTS):
            measured = {PATIENTS: patients["scores"]} | measured
            where = f"{patients['data']} (scores {PATIENTS}_...); the other scores: {where}"
    elif scored is not None:
        where = _measured_on(scored, file, weights, run, text)
    elif scores is not None:
        where = "exams that are not known (the file of --scores does not name them)"
    else:
        raise InputError(
            f"no scored.json next to {file} says to which weights the scores belong; evaluate again (configs/evaluate.yaml), "
            "or name the file with --scores"
        )
    return Provenance(measured, where, text, run, sha256(weights))


def _measured_on(scored: Mapping[str, Any], file: Path, weights: Path, run: Run | None, data: str) -> str:
    """The exams of scores, from the record next to them, which must belong to the weights and not to the training exams."""
    own = run is not None and scored["datalist"] in run.record.get("files", {}).values()
    if scored["weights"] != sha256(weights):
        raise InputError(
            f"the scores in {file} belong to other weights (SHA-256 {scored['weights'][:12]}...) than {weights}; evaluate "
            "these weights (configs/evaluate.yaml), or name the scores of these weights with --scores"
        )
    if scored["section"] not in MEASURED_ON and own:
        raise InputError(
            f"the scores in {file} include the exams from which the weights learned (--section {scored['section']}), so "
            "they do not show how good the weights are; evaluate with --section test"
        )
    datalist = data if own else f"another datalist (SHA-256 {scored['datalist']})"
    return f"section {scored['section']} of {datalist}"
