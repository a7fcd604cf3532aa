"""Prepare weights that ship with a bundle: the file, the record of its training, and the text about its scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planewise.engines.run_record import MEASURED, PATIENTS, WEIGHTS_SUM, scores_in_words
from planewise.errors import InputError
from planewise.evaluation.joint_plan import ERRORS, why_no_plane
from planewise.files.atomic_write import atomic_write
from planewise.files.checksum import sha256
from planewise.geometry import Bound
from planewise.networks import not_finite, read_weights
from planewise.settings import FILES, NOT_COMPUTED
from planewise.workshop.packaging.run import Run, flat_scores

#: Marks around the text of `tools/train_released_weights`.
RELEASE_BEGIN = "<!-- written by `tools/train_released_weights` -->"
RELEASE_END = "<!-- end of what `tools/train_released_weights` wrote -->"
#: The criteria for trusting a plane, and their columns in ``planes.csv``.
_TRUST = {"peak": "peak", "agreement": "agreement", "residual": "residual_mm", "spread": "spread_deg"}
#: Largest size of a weights file in the repository, bytes.
LARGEST_RELEASED = 3_000_000


def save_in_half(weights: Path, path: Path) -> None:
    """Write weights with their convolutions and matrices in float16. Tensors with one number per channel, indices, and
    float64 tensors (the thresholds of a forest) stay unchanged.

    `planewise.networks.read_weights` returns the weights as float32, and a network loads them as float32.

    Raises:
        InputError: a value is beyond the range of float16, or the file is larger than `LARGEST_RELEASED`.
    """
    kept = {
        name: value.half() if value.ndim > 1 and value.dtype == torch.float32 else value
        for name, value in read_weights(weights).items()
    }
    if wrong := not_finite(kept):
        raise InputError(f"{', '.join(wrong[:3])} of {weights} exceeds the range of float16")
    with atomic_write(path) as part:
        torch.save(kept, part)
    if path.stat().st_size > LARGEST_RELEASED:
        raise InputError(
            f"{path} has {path.stat().st_size / 1e6:.1f} MB, but weights that ship may have at most "
            f"{LARGEST_RELEASED / 1e6:.0f}; train with fewer features"
        )


def record_of_release(
    run: Run, weights: Path, train: Mapping[str, Any], scores: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of ``models/record.json``: the run's record and configuration, without any path on this machine (those of
    ``train``, the bundle's own config, stand in their place), with ``about``, how the run and its data were made.

    Raises:
        InputError: the run's training data is unknown.
    """
    if run.data is None:
        raise InputError(
            f"the datalist of {run.folder} is missing or has changed, so its data is not known; train again"
        )
    elsewhere = {key: train[key] for key in train if key in (*FILES, *NOT_COMPUTED)}
    config = {key: elsewhere.get(key, value) for key, value in run.config.items() if key in train or key not in FILES}
    return {
        WEIGHTS_SUM: sha256(weights),
        "data": run.data,
        **about,
        **run.record,
        "scores": dict(scores),
        "config": config,
    }


def measured_on(run: Run) -> str | None:
    """The exams on which weights that ship were scored, in words; scores on patients come first."""
    if PATIENTS not in run.record:
        return run.data
    return f"{run.record[PATIENTS]['data']} (scores {PATIENTS}_...); the other scores: {run.data}"


def card_scores(run: Run) -> dict[str, float]:
    """Scores of weights that ship, for metadata.json and the model card: the task's scores, without counts and derived
    values. Scores on patients come first."""
    patients = {PATIENTS: run.record[PATIENTS]["scores"]} if PATIENTS in run.record else {}
    _, scores = run.scores or ("", {})
    flat = flat_scores(patients | {name: value for name, value in scores.items() if name != "probe"})
    return {name: value for name, value in flat.items() if not isinstance(value, int) and "missed" not in name}


#: The text about weights that ship, under Performance of a bundle's page.
_CARD = """### The weights in `models/`

Made by `{made_by}`, on phantoms only.
Test exams of the scores (mean ± standard deviation): {measured_on}.
{patients}Errors are predicted minus reference; `_distance_` has no sign. `models/record.json` holds the rest: configuration,
seed, versions, commit and the settings of the phantoms of each section.

| score | |
|---|---|
{scores}"""
_ANATOMY = """
Over the {exams} test exams, against the planes that their anatomy defines:

| plane | median errors |
|---|---|
{rows}"""
_BOUNDS = """
90 % error bounds, measured on {measured_on}: 9 of 10 planes lie within sqrt(base² + (factor s)²) of
the plane that the anatomy defines, where s is the plane's jack-knife standard error. The last column counts the
planes of the test exams that are within their bound{several}:

| plane | base | factor | test exams within the bound |
|---|---|---|---|
{rows}"""


def card_rows(run: Run) -> list[str]:
    """Lines about weights that ship, for a model card: the training data and the scores of the weights."""
    record, scores = run.record, card_scores(run)
    patients = record.get(PATIENTS)
    rows = [
        f"| {name} | {value}{f' ± {scores[sd]}' if (sd := f'{name}_sd') in scores else ''} |"
        for name, value in scores.items()
        if not name.endswith("_sd")
    ]
    card = _CARD.format(
        made_by=record["made_by"],
        measured_on=measured_on(run),
        patients=f"On patients: {scores_in_words(patients)}. Source: {patients['source']}\n" if patients else "",
        scores="\n".join(rows),
    )
    parts = [card, _anatomy(record.get("anatomy")), _bounds(record)]
    return "\n".join(filter(None, parts)).split("\n")


def with_release(readme: str, rows: Sequence[str]) -> str:
    """A bundle's README with lines under Performance about the weights that ship, in place of earlier lines.

    Raises:
        InputError: the README has no heading Performance.
    """
    before, mark, rest = readme.partition(RELEASE_BEGIN)
    text = before + rest.partition(RELEASE_END)[2].removeprefix("\n\n") if mark else readme
    before, heading, rest = text.partition("## Performance\n\n")
    if not heading:
        raise InputError("the bundle's README has no heading Performance; add one for the scores")
    return "".join([before, heading, "\n".join([RELEASE_BEGIN, *rows, RELEASE_END]), "\n\n", rest])


def _anatomy(anatomy: Mapping[str, Any] | None) -> str:
    """The errors of the planned planes against the anatomy."""
    if anatomy is None:
        return ""
    rows = []
    for view, scores in anatomy["scores"]["orientation"]["views"].items():
        angle, offset = (scores[name]["median"] for name in ("plane_angle_deg", "plane_offset_mm"))
        said = "planned in no exam" if angle is None else f"{angle:.1f} deg, {offset:.1f} mm"
        rows.append(f"| {view} | {said} |")
    return _ANATOMY.format(exams=anatomy["scores"]["exams"], rows="\n".join(rows))


def _bounds(record: Mapping[str, Any]) -> str:
    """The error bounds of planes, and how many planes of the test exams are within them."""
    if "bounds" not in record:
        return ""
    bounds, kept = record[MEASURED]["plane_bounds"], record["bounds"]["kept_by_test_exams"]
    exams = record["anatomy"]["scores"]["exams"] if "anatomy" in record else math.inf
    several = ", at two phases each" if max(shares["planes"] for shares in kept.values()) > exams else ""
    rows = []
    for view, shares in kept.items():
        shown = shares["planes"] - shares["refused"]
        refused = f' ({shares["refused"]} "no plane")' if shares["refused"] else ""
        for name, unit in (("angle_deg", "deg"), ("offset_mm", "mm")):
            base, factor = bounds[view][name]
            held = (shares[name] or 0) * shown
            rows.append(f"| {view}, {unit} | {base:.2f} | {factor:.2f} | {held:.0f} of {shown}{refused} |")
    return _BOUNDS.format(measured_on=bounds["measured_on"], several=several, rows="\n".join(rows))


def kept_bounds(
    planes: Sequence[Mapping[str, Any]], bounds: Mapping[str, Any], **limits: float
) -> dict[str, dict[str, float | None]]:
    """Check error bounds on planes that were not used to measure them.

    Args:
        planes: rows of ``planes.csv``; numbers may be texts.
        bounds: error bounds from `planewise.evaluation.joint_plan.bounds_of_planes`.
        limits: limits of `planewise.evaluation.PlanViewsd`, see `why_no_plane`.

    Returns:
        For each view, the numbers of ``planes`` and of ``refused`` ones, and for each bound the share of the others whose
        error is within it (None if all are refused).
    """
    found: dict[str, dict[str, float | None]] = {}
    for view in dict.fromkeys(row["view"] for row in planes):
        own = [row for row in planes if row["view"] == view]
        trust = [{name: float(row[column]) for name, column in _TRUST.items()} for row in own]
        kept = [row for row, values in zip(own, trust, strict=True) if not why_no_plane(**values, **limits)]
        found[view] = {"planes": len(own), "refused": len(own) - len(kept)}
        for name, moved in ERRORS.items():
            within = [float(row[name]) <= Bound(*bounds[view][name]).at(float(row[moved])) for row in kept]
            found[view][name] = round(float(np.mean(within)), 4) if within else None
    return found
