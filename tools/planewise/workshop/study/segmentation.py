"""Segmentation from few labels: slices (Zhang 2024 Table 4, Fig. 7; Bai 2019 Tables 1 and 2, Fig. 4) and volumes
(Taleb 2020 Table 1, Figs. 2, 3 and 5)."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from planewise.engines.run_record import config_file
from planewise.files.text import read_yaml
from planewise.reports.segmentation_figures import SHOWN_SLICES, method_comparison, read_shown_slices
from planewise.reports.tables import ejection_fraction_error, heartbeats
from planewise.words import count_of
from planewise.workshop.study.folder import FineTunings, StudyFolder
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import pooled, spread
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.paired import Cases, Compared, Measured, Scores, add_differences, add_paired
from planewise.workshop.study.study_figures import scores_by_count

#: The title of each score's table, and its footnote.
_SCORES: Mapping[str, tuple[str, str]] = {
    "dice": ("Dice", ""),
    "assd_mm": (
        "Average symmetric surface distance (mm), over the structures that were found",
        "The column with 1.0 mm follows the reference implementation of Zhang 2024, and rewards a network that finds "
        "nothing; a dash: a draw missed more than half of the structures.",
    ),
    "contour_mm": (
        "Mean contour distance (mm; Bai 2019, Fig. 4), over the structures that were found",
        "A prediction that shares no slice with the reference has no contour distance, so a method with many of these may "
        "look too good.",
    ),
}
#: Number of methods that are compared with the first in a picture.
_BEST = 3
#: The structures that have an ejection fraction.
_VENTRICLES = ("RV", "LV")
#: The scores that are drawn, with the label of their axis.
_DRAWN = {"dice": "Dice", "contour_mm": "mean contour distance (mm)"}
_SCRATCH, _2D = "none", "_2d"
#: Endings of methods' names on volumes, and the title of their paired differences; the baseline of such a method is training
#: from scratch with the same ending.
_FORMS = {_2D: "3D and 2D", "_slow": "two rates"}


def add_segmentation(page: Page, study: StudyFolder) -> None:
    """Add every structure's Dice and distances, their paired differences and pictures."""
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    structures = list(runs.any["structures"])
    page.add(
        "<h2>Segmentation from few labels</h2><p>{} volumes of {} test exams, at their native spacing. {} Cells are "
        "mean (standard deviation, dividing by n) over the volumes of all draws; tables of differences divide by n - "
        "1.</p>",
        runs.any["volumes"],
        runs.any["exams"],
        runs.draws_in_words,
    )
    for kind, (title, note) in _SCORES.items():
        if kind not in runs.any["mean"]:
            continue  # a bundle may leave out this score
        header = ["labelled exams, method", "mean", *structures, "missed"]
        if kind == "assd_mm":
            header.insert(2, "mean, 1.0 mm where missed")
        if kind == "contour_mm":
            header.append("no slice in common")
        page.table(title, header, runs.rows(lambda draws, kind=kind: _own_cells(draws, kind, structures)), note)
    add_paired(page, Measured("mean Dice", mean_dice(runs)), lead=True)
    contours = runs.values(lambda content: (content["mean"].get("contour_mm") or {}).get("mean"))
    cases = _cases(runs, "contour_mm", structures)
    if add_paired(page, Measured(_DRAWN["contour_mm"], contours, lower_is_better=True, cases=cases)):
        page.note(
            "Below zero, contours are nearer to the reference. A pair is one structure in one test volume with "
            "distances of both methods; without a number of pairs, each method's own mean is compared, which may look "
            "better if it misses a difficult structure."
        )
    if study.has_patients:
        _add_ejection_fractions(page, runs)
    _add_structures(page, runs, structures)
    runs.add_pictures(page, {"val_mean_dice": "validation Dice, volume by volume"}, {})
    for count in () if study.has_patients else runs.counts:
        _add_comparison(page, runs, count)


def mean_dice(runs: FineTunings) -> dict[tuple[str, int], dict[int, float]]:
    """The mean Dice of each draw."""
    return runs.values(lambda content: content["mean"]["dice"]["mean"])


def _own_cells(draws: Sequence[dict], kind: str, structures: list[str]) -> list[str]:
    """The score over all structures, the score of each structure, and the number of missed structures; for contour
    distances, also the number of structures found only in slices in which the reference does not have them."""
    number = len(structures)
    means = [content["mean"] for content in draws]
    volumes = [content["volumes"] for content in draws]
    cells = [_cell([content["structures"][name] for content in draws], volumes, kind) for name in structures]
    of_all = [count * number for count in volumes]
    missed, total = sum(content["missed"] for content in means), sum(of_all)
    mean = [_cell(means, of_all, kind)]
    mean += [_cell(means, of_all, "assd_missed_1_mm")] if kind == "assd_mm" else []
    cells = [*mean, *cells, f"{missed} of {total}"]
    if kind == "contour_mm":
        cells.append(f"{total - missed - sum(content.get('contours', 0) for content in means)} of {total}")
    return cells


def _cell(entries: Sequence[dict], numbers: Sequence[int], kind: str) -> str:
    """A score over all volumes of all draws, from the entries of the draws and their numbers of volumes.

    A missed structure has no distance, so a draw that missed more counts less in the mean distance.
    """
    if not all(kind in entry for entry in entries):
        return "-"
    pairs = list(zip(entries, numbers, strict=True))
    if kind == "assd_missed_1_mm" and any(entry["missed"] > number / 2 for entry, number in pairs):
        return "-"  # a draw missed more than half of the structures, and the mean of the others would look better
    if kind == "contour_mm":
        counts = [entry["contours"] for entry in entries]
    else:
        counts = [number - entry["missed"] if kind == "assd_mm" else number for entry, number in pairs]
    return spread(pooled([entry[kind] for entry in entries], counts))


def _volumes(run: Path, structures: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a run's ``volumes.csv``; none if there is no such file, or if it has no scores of these
    structures."""
    file = run / "test" / "volumes.csv"
    if not file.is_file():
        return []
    with open(file, newline="", errors="replace") as lines:
        rows = list(csv.DictReader(lines))
    return rows if all(row.get(f"{name}_dice") for row in rows for name in structures) else []


def _cases(runs: FineTunings, kind: str, structures: Sequence[str]) -> Cases:
    """A score of each structure in each test volume, NaN where it is not known, for every draw that has
    ``volumes.csv``.
    The arrays, ``(volumes, structures)``, have the same volumes in the same order.
    """
    found: dict[tuple[str, int], dict[int, dict[tuple[str, str, int], list[float]]]] = {}
    for (method, count), draws in runs.scores.items():
        for draw in draws:
            volumes: dict[tuple[str, str, int], list[float]] = {}
            seen: Counter[tuple[str, str]] = Counter()
            try:
                for row in _volumes(runs.study.run(method, count, draw), structures):
                    exam, phase = row.get("exam", ""), row.get("phase", "")
                    volumes[exam, phase, seen[exam, phase]] = [float(row[f"{name}_{kind}"]) for name in structures]
                    seen[exam, phase] += 1
            except (KeyError, ValueError, TypeError):
                continue  # without this score
            if volumes:
                found.setdefault((method, count), {})[draw] = volumes
    names = sorted({name for draws in found.values() for volumes in draws.values() for name in volumes})
    unknown = [math.nan] * len(structures)
    return {
        run: {draw: np.array([volumes.get(name, unknown) for name in names]) for draw, volumes in draws.items()}
        for run, draws in found.items()
    }


def _add_ejection_fractions(page: Page, runs: FineTunings) -> None:
    """Add the errors of the ejection fractions of real patients, and their paired differences."""
    cases: dict[tuple[str, int], dict[int, np.ndarray]] = {}
    for count, method, draws in runs.cells():
        for draw in draws:
            rows = _volumes(runs.study.run(method, count, draw), _VENTRICLES)
            cases.setdefault((method, count), {})[draw] = _ejection_fraction_errors(rows)
    table = []
    for (method, count), draws in cases.items():
        errors = np.stack([*draws.values()])
        known = [side[np.isfinite(side)] for side in np.moveaxis(errors, -1, 0)]
        cells = [f"{abs(side).mean():.1f} ({side.mean():+.1f})" if len(side) else "-" for side in known]
        table.append(Row.of(f"{count}, {method_name(method)}", *cells, f"{np.isnan(errors).sum()} of {errors.size}"))
    header = ["labelled exams, method", *_VENTRICLES, "no volume at end-diastole"]
    page.table("Ejection fraction, mean absolute error (bias), percentage points", header, table)
    distances = {run: {draw: abs(errors) for draw, errors in draws.items()} for run, draws in cases.items()}
    means = {
        run: {draw: float(np.nanmean(errors)) for draw, errors in draws.items() if np.isfinite(errors).any()}
        for run, draws in distances.items()
    }
    add_paired(page, Measured("error of the ejection fraction", means, lower_is_better=True, cases=distances))


def _ejection_fraction_errors(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    """Predicted minus reference ejection fraction, percentage points, shape ``(exams, ventricles)`` in the exams'
    order; NaN where the prediction has no volume at end-diastole."""
    beats = sorted(heartbeats(rows).items())
    return np.array([[ejection_fraction_error(*beat, name) for name in _VENTRICLES] for _, beat in beats])


def _add_structures(page: Page, runs: FineTunings, structures: list[str]) -> None:
    """Draw each structure's scores against the number of labelled exams, if there are several numbers."""
    if len(runs.counts) < 2:
        return

    def known(kind: str, structure: str) -> Scores:
        values = runs.values(lambda content: (content["structures"][structure].get(kind) or {}).get("mean"))
        return {run: draws for run, draws in values.items() if draws}

    scores = {name: {each: known(kind, each) for each in structures} for kind, name in _DRAWN.items()}
    scores = {name: panels for name, panels in scores.items() if any(panels.values())}
    page.figure(
        scores_by_count(scores),
        "Each structure (as in Bai 2019, Fig. 4): a line through the means over the draws, a dot for each "
        "draw. Distances are means over the volumes in which the structure was found.",
    )


def _add_comparison(page: Page, runs: FineTunings, count: int) -> None:
    """Show the same slices for the first method and for the best others, from the first draw that all have; add
    nothing if no run saved slices."""
    methods = {method: draws for of_count, method, draws in runs.cells() if of_count == count}
    if not (shared := set.intersection(*(set(draws) for draws in methods.values()))):
        return
    draw = min(shared)
    first, *others = methods
    others.sort(key=lambda method: fmean(content["mean"]["dice"]["mean"] for content in methods[method].values()))
    best = others[-_BEST:]
    slices = {}
    for method in (method for method in methods if method == first or method in best):
        found = read_shown_slices(runs.study.run(method, count, draw) / "test" / SHOWN_SLICES)
        if found:
            slices[method_name(method)] = found
    if slices:
        page.figure(
            method_comparison(slices, _label_names(runs.study.run(first, count, draw), runs.any)),
            f"{count_of(count, 'labelled exam')}, draw {draw}: the first or last labelled slices of test volumes, "
            f"which are the hardest (as in Zhang 2024, Fig. 7), cropped to the outlines; the first method and the "
            f"{len(best)} others with the highest mean Dice.",
        )


def _label_names(run: Path, scores: Mapping[str, Any]) -> dict[int, str]:
    """Name of each label value. Scores may be for regions of several labels, so the run's settings take precedence."""
    config = config_file(run)
    given = read_yaml(config).get("structures") if config.is_file() else None
    return {int(value): name for value, name in given.items()} if given else dict(enumerate(scores["structures"], 1))


def add_volumes(page: Page, study: StudyFolder) -> None:
    """Add what the paper on volumes shows: shares of the labelled cases, regions of the tumour, pretexts in 3D and in
    2D or at two learning rates, and the speed of convergence."""
    if study.config["anatomy"] != "volume":
        return
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    dice = mean_dice(runs)
    page.add(
        "<h2>Volumes (Taleb 2020)</h2><p>Cells are the mean (standard deviation) of the draws' means. A method in 2D "
        "learns from slices of the volumes, and is scored on whole volumes.</p>"
    )
    runs.add_counts(page, "Mean Dice, by the number of labelled cases (Figs. 2 and 3)", dice)
    for ending, forms in _FORMS.items():
        baseline, compared = f"{_SCRATCH}{ending}", []
        for count, method in product(runs.counts, study.methods):
            if f"{method}{ending}" in study.methods:
                compared.append(Compared(count, method, f"{method}{ending}"))
            if method.endswith(ending) and method != baseline:
                compared.append(Compared(count, method, baseline))
        add_differences(page, f"Paired differences in mean Dice, {forms}", Measured("mean Dice", dice), compared)
