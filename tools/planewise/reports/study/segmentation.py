"""Segmentation from few labels (Zhang 2024 Table 4, Fig. 7; Bai 2019 Tables 1 and 2, Fig. 4)."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from planewise.engines.run_record import config_file
from planewise.exams.words import count_of
from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.segmentation_figures import method_comparison
from planewise.reports.shown_slices import SHOWN_SLICES, read_shown_slices
from planewise.reports.study.budgets import add_budgets
from planewise.reports.study.data import drawn_in_words
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import pooled, published, spread
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Cases, Difference, Scores, add_paired
from planewise.reports.study_figures import scores_by_count
from planewise.reports.tables import ejection_fraction_error, heartbeats, summary_over_structures
from planewise.text_files import read_yaml

#: The title of each score's table, and the papers' results.
_SCORES = {
    "dice": ("Dice", paper_tables.SEGMENTATION_DICE),
    "assd_mm": (
        "Average symmetric surface distance (mm), over the structures that were found",
        paper_tables.SEGMENTATION_ASSD,
    ),
    "contour_mm": ("Mean contour distance (mm; Bai 2019, Fig. 4), over the structures that were found", {}),
}
#: The last column of contour distances, and the mark of a mean over fewer structures than another method's.
_NO_SLICE, _LESS = "no slice in common", "*"
#: Number of methods that are compared with the first in a picture.
_BEST = 3
#: The structures that have an ejection fraction.
_VENTRICLES = ("RV", "LV")
#: The scores that are drawn, with the label of their axis.
_DRAWN = {"dice": "Dice", "contour_mm": "mean contour distance (mm)"}


def add(page: Page, study: StudyFolder) -> None:
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    structures = list(runs.any["structures"])
    unknown = _take_spreads_over_volumes(runs, structures)
    page.add(
        "<h2>Segmentation from few labels</h2><p>{} volumes of {} test exams, "
        "at their native spacing. {} "
        "Cells are mean (standard deviation, dividing by n) over the volumes of all draws; tables of differences between "
        "draws divide by n - 1.</p>",
        runs.any["volumes"],
        runs.any["exams"],
        drawn_in_words(study, runs.scores),
    )
    if unknown:
        page.add(
            "<p class=note>A dash in place of a standard deviation: the scores of {} were written by an earlier version, "
            "whose standard deviations of means also contained the differences between structures.</p>",
            count_of(unknown, "run"),
        )
    tables = paper_tables.SEGMENTATION_DICE.get(study.stack, ())
    compared = [table.paper for table in paper_tables.of_these(tables, study.methods)]
    for kind, (title, papers) in _SCORES.items():
        if kind not in runs.any["mean"]:
            continue  # the runs are older than this score
        header = ["labelled exams, method", "mean", *structures, "missed"]
        if kind == "assd_mm":
            header.insert(2, "mean, 1.0 mm where missed")
        if kind == "contour_mm":
            header.append(_NO_SLICE)
        beside = [table for table in papers.get(study.stack, ()) if table.paper in compared]
        page.table(title, header, _rows(runs, kind, structures, beside))
        if kind == "assd_mm":
            page.add(
                "<p class=note>The column with 1.0 mm follows the reference implementation of Zhang 2024. Because 1.0 mm is "
                "a good distance, it rewards a network that finds nothing: the column has a dash if more than half of the "
                "structures were missed in any draw. All other distances cover only what was found.</p>"
            )
        if kind == "contour_mm":
            page.add(
                "<p class=note>A prediction that shares no slice with the reference has no contour distance, as in Bai 2018, "
                f"so the means leave it out, like a missed structure. {_LESS}: another method with as many labelled exams "
                "has distances of more structures, so this mean may be too good; paired differences cover the same "
                "structures.</p>"
            )
        if kind == "dice":
            add_budgets(page, study)
    blank = [
        (method, count)
        for count, method, draws in runs.cells()
        if draws and all(set(structures) <= set(content["never_predicted"]) for content in draws.values())
    ]
    dice = runs.values(lambda content: content["mean"]["dice"]["mean"])
    add_paired(page, dice, "mean Dice", study.repeats, lead=True, blank=blank)
    contours = runs.values(lambda content: (content["mean"].get("contour_mm") or {}).get("mean"))
    cases = _cases(runs, "contour_mm", structures)
    found = add_paired(page, contours, _DRAWN["contour_mm"], study.repeats, lower_is_better=True, cases=cases)
    if found:
        page.add(f"<p class=note>{_on_distances(found.values())}</p>")
    _add_ejection_fractions(page, runs)
    _add_structures(page, runs, structures)
    if never := [
        f"{count} labelled, {method_name(method)}, draw {draw}: never predicted {', '.join(content['never_predicted'])}"
        for count, method, draws in runs.cells()
        for draw, content in draws.items()
        if content["never_predicted"]
    ]:
        page.add(f"<p class=note>{'<br>'.join(['{}'] * len(never))}</p>", *never)
    runs.add_curves(page, {"val_mean_dice": "validation Dice, volume by volume"}, "Validation Dice")
    for count in () if study.has_patients else runs.counts:
        _add_comparison(page, runs, count)


def _take_spreads_over_volumes(runs: FineTunings, structures: Sequence[str]) -> int:
    """Replace the standard deviations of means over structures in scores of an earlier version, which has no
    ``missed_share``: it took them over volumes and structures together. The scores of each volume give the new ones.

    Returns:
        The number of runs without the scores of each volume. Their standard deviations become NaN.
    """
    unknown = 0
    for (method, count), draws in runs.scores.items():
        for draw, content in draws.items():
            if "missed_share" in content["mean"]:
                continue
            rows = _volumes(_folder(runs, method, count, draw) / "test" / "volumes.csv", structures)
            unknown += not rows
            mean = {
                key: {**entry, "sd": _deviation(rows, key, structures)} if isinstance(entry, dict) else entry
                for key, entry in content["mean"].items()
            }
            draws[draw] = {**content, "mean": mean}
    return unknown


def _volumes(file: Path, structures: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a run's ``volumes.csv``; none if there is no such file, or if it has no scores of these structures."""
    if not file.is_file():
        return []
    with open(file, newline="", errors="replace") as lines:
        rows = list(csv.DictReader(lines))
    return rows if all(row.get(f"{name}_dice") for row in rows for name in structures) else []


def _deviation(rows: Sequence[Mapping[str, str]], kind: str, structures: Sequence[str]) -> float | None:
    """The standard deviation of a mean over structures, over the volumes; NaN without rows, None for a single volume."""
    if not rows:
        return math.nan
    try:
        values = [[_score(row, kind, name) for name in structures] for row in rows]
    except (KeyError, ValueError, TypeError):
        return math.nan
    deviation = summary_over_structures(values)["sd"]
    return deviation if math.isfinite(deviation) else None


def _cases(runs: FineTunings, kind: str, structures: Sequence[str]) -> Cases:
    """A score of each structure in each test volume, NaN where it is not known, for every draw that has ``volumes.csv``.

    The arrays, ``(volumes, structures)``, have the same volumes in the same order.
    """
    found: dict[tuple[str, int], dict[int, dict[tuple[str, str, int], list[float]]]] = {}
    for (method, count), draws in runs.scores.items():
        for draw in draws:
            volumes: dict[tuple[str, str, int], list[float]] = {}
            seen: Counter[tuple[str, str]] = Counter()
            try:
                for row in _volumes(_folder(runs, method, count, draw) / "test" / "volumes.csv", structures):
                    exam, phase = row.get("exam", ""), row.get("phase", "")
                    volumes[exam, phase, seen[exam, phase]] = [_score(row, kind, name) for name in structures]
                    seen[exam, phase] += 1
            except (KeyError, ValueError, TypeError):
                continue  # the run is older than this score
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
    if not runs.study.has_patients:
        return
    cases: dict[tuple[str, int], dict[int, np.ndarray]] = {}
    for count, method, draws in runs.cells():
        for draw in draws:
            rows = _volumes(_folder(runs, method, count, draw) / "test" / "volumes.csv", _VENTRICLES)
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
    add_paired(page, means, "error of the ejection fraction", runs.study.repeats, lower_is_better=True, cases=distances)


def _ejection_fraction_errors(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    """Predicted minus reference ejection fraction, percentage points, shape ``(exams, ventricles)`` in the exams' order; NaN
    where the prediction has no volume at end-diastole."""
    beats = sorted(heartbeats(rows).items())
    return np.array([[ejection_fraction_error(*beat, name) for name in _VENTRICLES] for _, beat in beats])


def _on_distances(differences: Collection[Difference]) -> str:
    """What differences between distances cover, in sentences."""
    said = "A difference below zero means that the contours are nearer to the reference."
    without_pairs = sum(difference.pairs is None for difference in differences)
    if without_pairs < len(differences):
        said += (
            " A pair is the distance of one structure in one test volume, by both methods; pairs in which a method has no "
            "distance are left out. A difference is the mean over a draw's remaining pairs, so a method neither gains nor "
            "loses by missing a structure: read it together with the number of missed structures. If more than half of the "
            "pairs are left out, there is no verdict."
        )
    if without_pairs:
        which = "All differences" if without_pairs == len(differences) else "Differences without a number of pairs"
        said += (
            f" {which} compare each method's mean over the structures that it found itself, because the scores of each "
            "volume are missing. A method that misses a difficult structure may look better there."
        )
    return said


def _score(row: Mapping[str, str], kind: str, name: str) -> float:
    if kind == "assd_missed_1_mm":
        return 1.0 if row[f"{name}_missed"] == "True" else float(row[f"{name}_assd_mm"])
    return float(row[f"{name}_{kind}"])


def _known(runs: FineTunings, spread_of: Callable[[dict], dict | None]) -> Scores:
    """The mean of a score for every draw that has it; methods without such a draw are left out."""
    values = runs.values(lambda content: (spread_of(content) or {}).get("mean"))
    return {run: draws for run, draws in values.items() if draws}


def _add_structures(page: Page, runs: FineTunings, structures: list[str]) -> None:
    """Draw each structure's scores against the number of labelled exams, if there are several numbers."""
    if len(runs.counts) < 2:
        return
    scores = {
        name: {
            structure: _known(
                runs, lambda content, kind=kind, structure=structure: content["structures"][structure].get(kind)
            )
            for structure in structures
        }
        for kind, name in _DRAWN.items()
    }
    scores = {name: panels for name, panels in scores.items() if any(panels.values())}
    page.figure(
        scores_by_count(scores),
        "Each structure (as in Bai 2019, Fig. 4): a line through the means over the draws, a dot for each "
        "draw. Distances are means over the volumes in which the structure was found.",
    )


def _rows(runs: FineTunings, kind: str, structures: list[str], papers: Sequence[paper_tables.Published]) -> list[Row]:
    """Our rows, each followed by the papers' rows for the same method and number of exams; then the rows that only
    papers have, of the study's numbers of exams."""
    rows: list[Row] = []
    most: dict[int, float] = {}
    if kind == "contour_mm":
        for count, _, draws in runs.cells():
            most[count] = max(_share_with_contours(draws, structures), most.get(count, 0.0))
    for count, method in product(*paper_tables.beside(papers, runs.counts, runs.study.methods)):
        if draws := runs.scores.get((method, count)):
            mean, *cells = _own_cells(draws, kind, structures)
            less = kind == "contour_mm" and _share_with_contours(draws, structures) < most[count]
            mean += _LESS if less and mean != "-" else ""
            rows.append(Row.of(f"{count}, {method_name(method)}", mean, *cells))
        for table in papers:
            if found := table.values.get(method, {}).get(count):
                theirs = [published(found.get(name)) for name in ("mean", *structures)]
                if kind == "assd_mm":
                    theirs.insert(1, "")
                name = f"{count}, {table.paper.name}, {method_name(method)}"
                rows.append(Row.of(name, *theirs, "", published=table))
    return rows


def _own_cells(draws: Mapping[int, dict], kind: str, structures: list[str]) -> list[str]:
    """The score over all structures, the score of each structure, and the number of missed structures; for contour
    distances, also the number of structures found only in slices in which the reference does not have them."""
    cells = [
        _cell(draws, kind, content_of=lambda content, name=name: content["structures"][name]) for name in structures
    ]
    mean = _cell(draws, kind, content_of=lambda content: content["mean"], structures=len(structures))
    if kind == "assd_mm":
        cells.insert(0, _cell(draws, "assd_missed_1_mm", lambda content: content["mean"], len(structures)))
    missed = sum(content["mean"]["missed"] for content in draws.values())
    total = sum(content["volumes"] for content in draws.values()) * len(structures)
    cells.append(f"{missed} of {total}")
    if kind == "contour_mm":
        known = all("contours" in content["mean"] for content in draws.values())
        share = _share_with_contours(draws, structures)
        cells.append(f"{total - missed - round(total * share)} of {total}" if known else "-")
    return [mean, *cells]


def _share_with_contours(draws: Mapping[int, dict], structures: Sequence[str]) -> float:
    """The share of the structures of all draws that have a contour distance."""
    total = sum(content["volumes"] for content in draws.values()) * len(structures)
    return sum(content["mean"].get("contours", 0) for content in draws.values()) / total


def _cell(draws: Mapping[int, dict], kind: str, content_of: Callable[[dict], dict], structures: int = 1) -> str:
    """A score over all volumes of all draws, for one structure or several together.

    A missed structure has no distance, so a draw that missed more counts less in the mean distance.
    """
    contents = [(content_of(content), content["volumes"] * structures) for content in draws.values()]
    known = [entry for entry, _ in contents if kind in entry]
    if len(known) < len(contents):
        return "-"  # a run is older than this score
    if kind == "assd_missed_1_mm" and any(entry["missed"] > number / 2 for entry, number in contents):
        return "-"  # a draw missed more than half of the structures, and the mean of the others would look better
    if kind == "contour_mm":
        counts = [entry["contours"] for entry in known]
    else:
        counts = [number - entry["missed"] if kind == "assd_mm" else number for entry, number in contents]
    return spread(pooled([entry[kind] for entry in known], counts))


def _add_comparison(page: Page, runs: FineTunings, count: int) -> None:
    """Show the same slices for the first method and for the best others, from the first draw that all have; add nothing if
    no run saved slices."""
    methods = {method: draws for of_count, method, draws in runs.cells() if of_count == count}
    if not (shared := set.intersection(*(set(draws) for draws in methods.values()))):
        return
    draw = min(shared)
    first, *others = methods
    others.sort(key=lambda method: fmean(content["mean"]["dice"]["mean"] for content in methods[method].values()))
    best = others[-_BEST:]
    slices = {}
    for method in (method for method in methods if method == first or method in best):
        found = read_shown_slices(_folder(runs, method, count, draw) / "test" / SHOWN_SLICES)
        if found:
            slices[method_name(method)] = found
    if slices:
        page.figure(
            method_comparison(slices, _label_names(_folder(runs, next(iter(methods)), count, draw), runs.any)),
            f"{count_of(count, 'labelled exam')}, draw {draw}: the first or last labelled slices of test volumes, which are "
            "the hardest (as in Zhang 2024, Fig. 7), cropped to the outlines; "
            + (
                f"the first method and the {_BEST} others with the highest mean Dice."
                if best != others
                else "all methods."
            ),
            main=count == min(runs.counts),
        )


def _folder(runs: FineTunings, method: str, count: int, draw: int) -> Path:
    return runs.study.path / "finetune" / method / str(count) / str(draw)


def _label_names(run: Path, scores: Mapping[str, Any]) -> dict[int, str]:
    """Name of each label value. Scores may be for regions of several labels, so the run's settings take precedence."""
    config = config_file(run)
    given = read_yaml(config).get("structures") if config.is_file() else None
    return {int(value): name for value, name in given.items()} if given else dict(enumerate(scores["structures"], 1))
