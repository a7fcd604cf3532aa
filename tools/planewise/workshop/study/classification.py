"""Classification from few labels. A task is a table of its metrics and pictures: findings of a knee (Zhang 2024 Table
5), grades of photographs (Taleb 2020, Figs. 4 and 6), and diagnoses from two phases (Nakashima 2022, Tables 1 to 3).
Diagnoses from masks (Zhang 2024 Table 3) have no fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from planewise.workshop.study.folder import FineTunings, StudyFolder, read_json
from planewise.workshop.study.methods import BACKBONES, IMAGES, PRETRAININGS, method_name
from planewise.workshop.study.numbers import over_draws
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.paired import Compared, Measured, Scores, add_differences, add_paired

#: The arguments of `Page.table`.
Metrics = tuple[str, Sequence[Any], Sequence[Row], str]


@dataclass(frozen=True)
class Task:
    """What the page shows of a kind of classification.

    Attributes:
        known_by: keys of ``metrics.json`` that only runs of this task have, and those that they lack.
        heading: the section's heading.
        about: a sentence on the test set and the score.
        score: the key of the main score, and its name.
        tables: function that makes tables of metrics from the runs.
        add_more: function that adds what has another shape.
        curves: captions of the validation scores, by column of the histories.
        pictures: captions of the runs' pictures, by the name of their file.
    """

    known_by: tuple[str, Sequence[str]]
    heading: str
    about: Callable[[FineTunings], str]
    score: tuple[str, str]
    tables: Callable[[FineTunings], Iterator[Metrics]]
    curves: Mapping[str, str]
    pictures: Mapping[str, str]
    add_more: Callable[[Page, FineTunings, Scores], None] = field(default=lambda page, runs, scores: None)


def add_classification(page: Page, study: StudyFolder) -> None:
    """Add the section of each task that the study's fine-tunings have."""
    for task in TASKS:
        key, others = task.known_by
        runs = FineTunings.found(study, key)
        if not runs.scores or any(other in runs.any for other in others):
            continue
        key, name = task.score
        scores = runs.values(lambda content, key=key: content[key])
        page.add(
            f"<h2>{task.heading}</h2><p>{{}} {{}} Cells are the mean (standard deviation) over the draws.</p>",
            task.about(runs),
            runs.draws_in_words,
        )
        for table in task.tables(runs):
            page.table(*table)
        task.add_more(page, runs, scores)
        add_paired(page, Measured(name, scores), lead=True)
        runs.add_pictures(page, task.curves, task.pictures)


def _means(draws: Iterable[dict], *keys: str) -> list[str]:
    """The mean of each key over the draws."""
    draws = list(draws)
    return [over_draws(content.get(key) for content in draws) for key in keys]


def _findings(runs: FineTunings) -> Iterator[Metrics]:
    auc = runs.values(lambda content: content["macro_auc"])
    rows = [
        Row.of(method_name(method), *(over_draws(auc.get((method, count), {}).values()) for count in runs.counts))
        for method in runs.study.methods
        if any((method, count) in auc for count in runs.counts)
    ]
    yield "Mean AUC, by the number of labelled exams", ["method", *runs.counts], rows, ""
    tasks = list(runs.any["auc"])
    rows = runs.rows(lambda draws: (*(over_draws(each["auc"][task] for each in draws) for task in tasks), len(draws)))
    yield "AUC of each task", ["labelled exams, method", *tasks, "draws"], rows, ""


def _grades(runs: FineTunings) -> Iterator[Metrics]:
    grades = list(runs.any["recall"])
    rows = runs.rows(
        lambda draws: (
            *(over_draws(each["recall"][grade] for each in draws) for grade in grades),
            *_means(draws, "accuracy", "distance"),
        )
    )
    header = ["graded photographs, method", *grades, "accuracy", "grades apart"]
    yield "Share of each true grade that was predicted correctly", header, rows, ""


def _add_grades(page: Page, runs: FineTunings, kappa: Scores) -> None:
    runs.add_counts(page, "Kappa, by the number of graded photographs (Fig. 4)", kappa)


#: Words of the page for the parts of a method's name in a study of two phases.
_BACKBONES = {"vgg16": "VGG", "densenet121": "DenseNet"}
_PRETRAININGS = {
    "none": "no pretraining",
    "imagenet": "ImageNet",
    "full": "SimCLR, whole images",
    "segmented": "SimCLR, hearts alone",
}
_IMAGES = {"full": "whole images", "segmented": "hearts alone"}
#: Maps the number of each table of the paper to its title, and to its columns by the ending of the methods' names.
_TABLES = {
    1: (
        "Macro AUC for the classification of whole images (Table 1)",
        {f"{name}_full": called for name, called in _PRETRAININGS.items()},
    ),
    2: (
        "Macro AUC for the classification of hearts alone (Table 2)",
        {f"{name}_segmented": called for name, called in _PRETRAININGS.items()},
    ),
    3: (
        "Macro AUC, images that SimCLR learns from - images to classify (Table 3)",
        {f"{one}_{other}": f"{_IMAGES[one]} - {_IMAGES[other]}" for one, other in product(IMAGES, IMAGES)},
    ),
}
_PHASES = ("ED", "ES")
#: Words of the page for the keys of a run's `saliency`.
_SHARES = {"inside": "inside", "by_area": "heart's share of the image"}


def _phases(runs: FineTunings) -> Iterator[Metrics]:
    auc = runs.values(lambda content: content["macro_auc"])
    name = "labelled exams, method"
    for number, (title, columns) in _TABLES.items():
        if _is_of_the_paper(runs.study, number):
            header = ["labelled exams, backbone", *columns.values()]
            yield title, header, _backbone_rows(runs, auc, columns), ""
    classes = list(runs.any["auc"])
    yield (
        "AUC of each class",
        [name, "macro AUC", *classes, "accuracy", "test exams", "draws"],
        runs.rows(
            lambda draws: (
                *_means(draws, "macro_auc"),
                *(over_draws(each["auc"][known] for each in draws) for known in classes),
                *_means(draws, "accuracy"),
                _range(each["exams"] for each in draws),
                len(draws),
            )
        ),
        "A method on hearts alone leaves out test exams whose mask cannot be a heart.",
    )
    yield (
        "Share of saliency inside the heart",
        [
            name,
            *(f"{called}, {phase}" for phase in _PHASES for called in _SHARES.values()),
            *(f"exams, {phase}" for phase in _PHASES),
        ],
        runs.rows(_saliency, having="saliency"),
        "Grad-CAM of the predicted class, on test exams with masks whose map is not zero everywhere. A uniform map has "
        "the heart's share of the image.",
    )


def _saliency(draws: Iterable[dict]) -> Iterator[str]:
    """The share of saliency inside the heart, over the draws that measured it, and the number of exams."""
    found = [content["saliency"] for content in draws if "saliency" in content]
    for phase in _PHASES:
        yield from (over_draws(entry[kind][phase] for entry in found) for kind in _SHARES)
    yield from (_range(entry["exams"][phase] for entry in found) for phase in _PHASES)


def _is_of_the_paper(study: StudyFolder, number: int) -> bool:
    """Whether a table of the paper has methods of the study."""
    return any(f"{one}_{other}" in study.methods for one, other in product(BACKBONES, _TABLES[number][1]))


def _backbone_rows(runs: FineTunings, auc: Scores, columns: Iterable[str]) -> list[Row]:
    """A row for each backbone, with the columns of one of the paper's tables."""
    rows = []
    for count, backbone in product(runs.counts, BACKBONES):
        scores = [auc.get((f"{backbone}_{column}", count)) for column in columns]
        if any(scores):
            cells = [over_draws(found.values()) if found else "" for found in scores]
            rows.append(Row.of(f"{count}, {_BACKBONES[backbone]}", *cells))
    return rows


def _range(counts: Iterable[int]) -> str:
    """``70``, or ``68 to 70``."""
    counts = sorted(counts)
    return f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def _exams(runs: FineTunings) -> str:
    """The number of test exams."""
    return _range(content["exams"] for _, _, draws in runs.cells() for content in draws.values())


def _add_pairs(page: Page, runs: FineTunings, auc: Scores) -> None:
    """Add paired differences of methods with one backbone that differ in one thing, if the study has the
    paper's methods: in the pretraining (each minus none; hearts alone minus whole images; these two minus a random frozen
    backbone), in the images to classify, or in the masks."""
    if not any(_is_of_the_paper(runs.study, number) for number in _TABLES):
        return
    pretrainings = [(name, "none") for name in PRETRAININGS[1:]] + [("segmented", "full")]
    pretrainings += [(name, "random") for name in ("full", "segmented")]
    pairs = {
        "pretrainings": [(f"{one}_{images}", f"{other}_{images}") for images in IMAGES for one, other in pretrainings],
        "images to classify": [(f"{name}_segmented", f"{name}_full") for name in PRETRAININGS],
        "masks": [(f"{name}_predicted", f"{name}_segmented") for name in PRETRAININGS],
    }
    for what, names in pairs.items():
        compared = [
            Compared(count, f"{backbone}_{one}", f"{backbone}_{other}")
            for count, backbone in product(sorted({count for _, count in auc}), BACKBONES)
            for one, other in names
        ]
        measured = Measured("macro AUC", auc)
        add_differences(page, f"Paired differences in macro AUC between {what}", measured, compared)
    page.note("All draws share the test exams, and each pretraining ran once, from one seed.")


TASKS = (
    Task(
        known_by=("positives", ()),
        heading="Classification from few labels (Zhang 2024, Table 5)",
        about=lambda runs: (
            f"{runs.any['exams']} test exams: "
            f"{', '.join(f'{number} {task}' for task, number in runs.any['positives'].items())}. The score is the area "
            f"under the ROC curve, averaged over {len(runs.any['auc'])} tasks; 0.5 is chance."
        ),
        score=("macro_auc", "mean AUC"),
        tables=_findings,
        curves={"val_loss": "validation loss", "val_auc": "validation, mean AUC"},
        pictures={"roc.png": "ROC curves", "saliency.png": "where the network looked"},
    ),
    Task(
        known_by=("confusion", ("kappa",)),
        heading="Diagnosis from two phases (Nakashima 2022)",
        about=lambda runs: (
            f"{_exams(runs)} test exams, one backbone for end-diastole and one for end-systole. The score is the area "
            f"under the ROC curve of each class against the rest, averaged over {len(runs.any['auc'])} classes; 0.5 is "
            "chance. Full: whole images; segmented: hearts alone, cropped with the datalist's masks in the test exams "
            "too, so the scores are an upper bound; predicted: cropped with masks of the segmentation that ships."
        ),
        score=("macro_auc", "macro AUC"),
        tables=_phases,
        add_more=_add_pairs,
        curves={"val_loss": "validation loss", "val_auc": "validation, macro AUC"},
        pictures={"roc.png": "ROC curves and confusion", "saliency.png": "where the network looked"},
    ),
    Task(
        known_by=("kappa", ()),
        heading="Grading from few grades (Taleb 2020)",
        about=lambda runs: (
            f"{runs.any['photographs']} photographs were graded. The score is the quadratic weighted kappa: 1 is "
            "agreement, 0 is chance. The paper gives its kappas as curves (Figs. 4 and 9)."
        ),
        score=("kappa", "kappa"),
        tables=_grades,
        add_more=_add_grades,
        curves={"val_loss": "validation loss", "val_kappa": "validation, kappa"},
        pictures={
            "confusion.png": "which grade was predicted",
            "photographs.png": "the photographs with the worst grading",
        },
    ),
)


def add_diagnosis(page: Page, study: StudyFolder) -> None:
    """Add diagnoses by a random forest from reference masks and from predicted masks, of the test exams or
    cross-validated."""
    _add_folds(page, study)
    runs = FineTunings.found(study, "macro_auc", "diagnose", scored="")
    scores = {run: draws for run, draws in runs.values(lambda content: content["macro_auc"]).items() if draws}
    reference = read_json(study.path / "diagnose" / "reference" / "test" / "metrics.json")
    if not scores and not reference:
        return
    page.add(
        f"<h2>{'Diagnosis (Zhang 2024, Table 3)' if scores else 'Diagnosis from the outline alone'}</h2><p>A random "
        "forest on ten features of the masks is fitted to reference masks, and sees no images: what a perfect "
        "segmentation would score, and a control for methods on hearts alone. The score is the area under the ROC "
        "curve, averaged over the diagnoses.</p>"
    )
    rows = []
    if reference:
        rows.append(Row.of("reference masks", reference["macro_auc"], reference["exams"]))
    rows += [
        Row.of(f"{count}, {method_name(method)}", over_draws(scores[method, count].values()), "")
        for count, method, _ in runs.cells()
        if (method, count) in scores
    ]
    page.table("Macro AUC", ["labelled exams, method", "macro AUC", "test exams"], rows)
    add_paired(page, Measured("macro AUC", scores))
    page.figure(
        study.path / "diagnose" / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks."
    )


def _add_folds(page: Page, study: StudyFolder) -> None:
    """Add the cross-validated diagnosis from reference masks and from those of the segmentation that ships."""
    rows = []
    for masks in ("reference", "predicted"):
        paths = sorted((study.path / "diagnose" / "folds" / masks).glob("*/metrics.json"))
        if folds := [content for path in paths if (content := read_json(path))]:
            exams = sum(content["exams"] for content in folds)
            rows.append(Row.of(f"{masks} masks", *_means(folds, "macro_auc", "accuracy"), exams, len(folds)))
    if rows:
        page.add(
            "<h2>Diagnosis from masks, cross-validated</h2><p>A random forest on ten features of the masks learns from "
            "all folds but one and is scored on this fold. Cells are the mean (standard deviation) over the folds.</p>"
        )
        page.table("Macro AUC by the masks", ["masks", "macro AUC", "accuracy", "exams", "folds"], rows)
