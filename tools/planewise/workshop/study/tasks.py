"""The section of a study's fine-tunings. A task is a table of its scores and pictures: segmentation (Zhang 2024 Table 4; Bai
2019 Tables 1 and 2; Taleb 2020 Table 1), findings of a knee (Zhang 2024 Table 5), diagnoses from two phases (Nakashima 2022),
and grades of photographs (Taleb 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planewise.workshop.study.folder import FineTunings, StudyFolder
from planewise.workshop.study.page import Page
from planewise.workshop.study.paired import add_paired, over_draws, scores_by_count

#: Makes a table's cell from the metrics of a method's draws.
Cell = Callable[[Sequence[dict]], Any]
#: A table's title, its columns, and its footnote.
Columns = tuple[str, Mapping[str, Cell], str]
#: The title of the table of each score of segmentations, and its footnote.
_SEGMENTATION = {
    "dice": ("Dice", ""),
    "assd_mm": ("Average symmetric surface distance (mm), over the structures that were found", ""),
    "contour_mm": (
        "Mean contour distance (mm; Bai 2019, Fig. 4), over the structures that were found",
        "A prediction that shares no slice with the reference has no contour distance, either.",
    ),
}


@dataclass(frozen=True)
class Task:
    """What the page shows of a kind of fine-tuning.

    Attributes:
        known_by: keys of ``metrics.json`` that only runs of this task have, and those that they lack.
        heading: the section's heading.
        about: a sentence on the test set and the score.
        score: name of the main score, and its keys in ``metrics.json``.
        tables: function that makes tables from the runs.
        by_count: title of the table of the main score by number of labelled exams; empty for none.
    """

    known_by: tuple[str, Sequence[str]]
    heading: str
    about: Callable[[dict], str]
    score: tuple[str, Sequence[str]]
    tables: Callable[[dict], Iterator[Columns]]
    by_count: str = ""


def add_tasks(page: Page, study: StudyFolder) -> None:
    """Add the section of each task that the study's fine-tunings have."""
    for task in TASKS:
        key, others = task.known_by
        runs = FineTunings.found(study, key)
        if not runs.scores or any(other in runs.any for other in others):
            continue
        name, keys = task.score
        scores = runs.values(lambda content, keys=keys: _number(content, keys))
        folds = "{draw}" in str((study.config.get("target") or {}).get("arguments", ""))
        how = (
            "A draw is a fold: it decides when the training stops, and the network learns from the other folds."
            if folds
            else "Each draw selects labelled exams at random, the same for all methods."
        )
        page.add(
            f"<h2>{task.heading}</h2><p>{{}} {how} Cells are the mean (standard deviation) over the draws.</p>",
            task.about(runs.any),
        )
        if task.by_count:
            rows = [
                [study.called(method), *(over_draws(scores.get((method, count), {}).values()) for count in runs.counts)]
                for method in study.methods
                if any((method, count) in scores for count in runs.counts)
            ]
            page.table(task.by_count, ["method", *runs.counts], rows)
        if len(runs.counts) > 1:
            caption = f"{name} by number of labelled exams: each draw, and the mean of each method."
            drawn = {(study.called(method), count): draws for (method, count), draws in scores.items()}
            page.figure(scores_by_count(drawn, name), caption)
        for title, columns, note in task.tables(runs.any):
            rows = [
                [f"{count}, {study.called(method)}", *(cell([*draws.values()]) for cell in columns.values())]
                for count, method, draws in runs.cells()
            ]
            page.table(title, ["labelled exams, method", *columns], rows, note)
        add_paired(page, study, name, scores, lead=True)
        page.note("The pictures of a training are in finetune/METHOD/COUNT/DRAW/test.")


def _number(content: Any, keys: Sequence[str]) -> float | None:
    """The number at some nested keys; None if it is unknown."""
    for key in keys:
        content = (content or {}).get(key)
    return content


def _mean(*keys: str, digits: int = 3) -> Cell:
    """A cell with the mean over the draws of the number at some nested keys."""
    return lambda draws: over_draws((_number(each, keys) for each in draws), digits)


def _missed(structures: int) -> Cell:
    """A cell with the number of structures that were missed, of all in the test volumes of all draws."""
    return lambda draws: (
        f"{sum(each['mean']['missed'] for each in draws)} of {structures * sum(each['volumes'] for each in draws)}"
    )


def _range(counts: Sequence[int]) -> str:
    """``70``, or ``68 to 70``."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _of_segmentation(scores: dict) -> Iterator[Columns]:
    structures = list(scores["structures"])
    for kind, (title, note) in _SEGMENTATION.items():
        if kind in scores["mean"]:  # a bundle may leave out this score
            columns = {"mean": _mean("mean", kind, "mean")}
            columns |= {name: _mean("structures", name, kind, "mean") for name in structures}
            yield title, columns | {"missed": _missed(len(structures))}, note
    known = [name for name in structures if "ejection_fraction_distance_pct" in scores["structures"][name]]
    if known:
        columns = {
            f"{name}{what}": _mean("structures", name, f"ejection_fraction_{kind}_pct", "mean", digits=1)
            for kind, what in (("distance", ""), ("error", ", bias"))
            for name in known
        }
        yield "Ejection fraction, mean absolute error and bias, percentage points", columns, ""


def _of_findings(scores: dict) -> Iterator[Columns]:
    yield "AUC of each task", {**{task: _mean("auc", task) for task in scores["auc"]}, "draws": len}, ""


def _of_phases(scores: dict) -> Iterator[Columns]:
    columns: dict[str, Cell] = {"macro AUC": _mean("macro_auc"), **{name: _mean("auc", name) for name in scores["auc"]}}
    columns |= {"accuracy": _mean("accuracy"), "test exams": lambda draws: _range([each["exams"] for each in draws])}
    note = "A method on hearts alone leaves out test exams whose mask cannot be a heart."
    yield "AUC of each class", columns | {"draws": len}, note


def _of_grades(scores: dict) -> Iterator[Columns]:
    columns = {grade: _mean("recall", grade) for grade in scores["recall"]}
    columns |= {"accuracy": _mean("accuracy"), "grades apart": _mean("distance")}
    yield "Share of each true grade that was predicted correctly", columns, ""


TASKS = (
    Task(
        known_by=("structures", ()),
        heading="Segmentation from few labels",
        about=lambda scores: f"{scores['volumes']} volumes of {scores['exams']} test exams, at their native spacing.",
        score=("mean Dice", ("mean", "dice", "mean")),
        tables=_of_segmentation,
    ),
    Task(
        known_by=("positives", ()),
        heading="Classification from few labels (Zhang 2024, Table 5)",
        about=lambda scores: (
            f"{scores['exams']} test exams: "
            f"{', '.join(f'{number} {task}' for task, number in scores['positives'].items())}. The score is the area "
            f"under the ROC curve, averaged over {len(scores['auc'])} tasks; 0.5 is chance."
        ),
        score=("mean AUC", ("macro_auc",)),
        tables=_of_findings,
        by_count="Mean AUC, by the number of labelled exams",
    ),
    Task(
        known_by=("confusion", ("kappa",)),
        heading="Diagnosis from two phases (Nakashima 2022, Tables 1 to 3)",
        about=lambda scores: (
            "One backbone for end-diastole and one for end-systole. The score is the area under the ROC curve of each class "
            f"against the rest, averaged over {len(scores['auc'])} classes; 0.5 is chance. A method's name has the images "
            "that its pretraining learned from, and those to classify. Full: whole images; segmented: hearts alone, cropped "
            "with the datalist's masks in the test exams too, so the scores are an upper bound; predicted: cropped with "
            "masks of the segmentation that ships. All draws share the test exams, and each pretraining ran once."
        ),
        score=("macro AUC", ("macro_auc",)),
        tables=_of_phases,
    ),
    Task(
        known_by=("kappa", ()),
        heading="Grading from few grades (Taleb 2020)",
        about=lambda scores: (
            f"{scores['photographs']} photographs were graded. The score is the quadratic weighted kappa: 1 is "
            "agreement, 0 is chance. The paper gives its kappas as curves (Figs. 4 and 9)."
        ),
        score=("kappa", ("kappa",)),
        tables=_of_grades,
        by_count="Kappa, by the number of graded photographs (Fig. 4)",
    ),
)
