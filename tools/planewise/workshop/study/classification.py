"""Classification from few labels. A task is a table of its metrics and pictures: findings of a knee (Zhang 2024 Table
5), grades of photographs (Taleb 2020, Figs. 4 and 6), and diagnoses from two phases (Nakashima 2022, Tables 1 to 3).
Diagnoses from masks (Zhang 2024 Table 3) have no fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from planewise.workshop.study import paper_tables
from planewise.workshop.study.folder import FineTunings, StudyFolder, read_json
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import over_draws
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.paired import Compared, Measured, Scores, add_differences, add_paired
from planewise.workshop.study.paper_tables import BACKBONES, IMAGES, PRETRAININGS
from planewise.workshop.study.segmentation import add_convergence
from planewise.workshop.study.study_figures import validation_curves

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
        add_more: function that adds what has another shape; whether it has drawn the curves.
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
    add_more: Callable[[Page, FineTunings, Scores], bool] = field(default=lambda page, runs, scores: False)


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
        drawn = task.add_more(page, runs, scores)
        add_paired(page, Measured(name, scores), lead=True)
        runs.add_pictures(page, {} if drawn else task.curves, task.pictures, curves_are_main=True)


def _means(draws: Iterable[dict], *keys: str) -> list[str]:
    """The mean of each key over the draws."""
    draws = list(draws)
    return [over_draws(content.get(key) for content in draws) for key in keys]


def _findings(runs: FineTunings) -> Iterator[Metrics]:
    auc = runs.values(lambda content: content["macro_auc"])
    papers = paper_tables.INJURY_AUC if runs.study.config.get("published", True) else ()
    theirs = (count for table in papers for row in table.values.values() for count in row)
    counts, methods = paper_tables.beside(papers, [*runs.counts, *theirs], runs.study.methods)
    rows = []
    for method in methods:
        if method in runs.study.methods:
            cells = [over_draws(auc[method, count].values()) if (method, count) in auc else "" for count in counts]
            rows.append(Row.of(method_name(method), *cells))
        for table in papers:
            if found := table.values.get(method):
                cells = [f"{found[count]:.3f}" if count in found else "" for count in counts]
                rows.append(Row.of(f"{table.paper.name}, {method_name(method)}", *cells, published=table))
    note = "" if runs.study.config.get("imagenet") else "Pretexts of Zhang 2024 start from ImageNet weights."
    yield "Mean AUC, by the number of labelled exams", ["method", *counts], rows, note if papers else ""
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


def _add_grades(page: Page, runs: FineTunings, kappa: Scores) -> bool:
    runs.add_counts(page, "Kappa, by the number of graded photographs (Fig. 4)", kappa)
    add_convergence(page, runs, "val_kappa", "Speed of convergence (Fig. 6)")
    return False


#: Words of the page for the parts of a method's name in a study of two phases.
_BACKBONES = {"vgg16": "VGG", "densenet121": "DenseNet"}
_PAPERS_BACKBONES = {"vgg16": "VGG16", "densenet121": "DenseNet121"}
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
            yield title, header, _paper_rows(runs, auc, number), "ICM and AMYL: the paper's own data."
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
    keys = ("macro_auc", "logistic_regression")
    yield (
        "Frozen features",
        [name, "linear layer", "logistic regression"],
        runs.rows(lambda draws: _means(draws, *keys), having=keys[1]),
        "The trained linear layer, and a logistic regression that is fitted until it converges. If it scores much "
        "higher, the layer is not trained well. Random: a frozen backbone with its initial weights.",
    )
    yield (
        "Validation",
        [name, "loss", "macro AUC", "draws"],
        _validation_rows(runs),
        "At the epoch with the lowest loss, whose weights are kept. Choose settings by this table.",
    )
    keys = ("converged_epoch", "epochs")
    yield (
        "Epochs to converge (Fig. 1)",
        [name, "to converge", "trained"],
        runs.rows(lambda draws: (over_draws((each.get(key) for each in draws), 1) for key in keys), having=keys[0]),
        "The first epoch with 95 % of the total decrease of the validation loss. A network that learns next to nothing "
        "converges early.",
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
    return any(method in table.values for table in paper_tables.TWO_PHASE_AUC[number] for method in study.methods)


def _paper_rows(runs: FineTunings, auc: Scores, number: int) -> list[Row]:
    """A row for each backbone, our rows before the paper's, with the columns of one of the paper's tables."""
    columns = _TABLES[number][1]
    rows = []
    for count, backbone in product(runs.counts, BACKBONES):
        scores = [auc.get((f"{backbone}_{column}", count)) for column in columns]
        if any(scores):
            cells = [over_draws(found.values()) if found else "" for found in scores]
            rows.append(Row.of(f"{count}, {_BACKBONES[backbone]}", *cells))
    for table, backbone in product(paper_tables.TWO_PHASE_AUC[number], BACKBONES):
        cells = [f"{table.values[f'{backbone}_{column}']:.3f}" for column in columns]
        name = f"{table.paper.name}, {table.data}, {_PAPERS_BACKBONES[backbone]}"
        rows.append(Row.of(name, *cells, published=table))
    return rows


def _validation_rows(runs: FineTunings) -> list[Row]:
    """Validation scores at the kept epoch, which has the lowest loss."""
    rows = []
    for count, method, _ in runs.cells():
        seen = [[row for row in rows_of if "val_loss" in row] for rows_of in runs.histories[method, count]]
        if kept := [min(rows_of, key=lambda row: row["val_loss"]) for rows_of in seen if rows_of]:
            rows.append(Row.of(f"{count}, {method_name(method)}", *_means(kept, "val_loss", "val_auc"), len(kept)))
    return rows


def _range(counts: Iterable[int]) -> str:
    """``70``, or ``68 to 70``."""
    counts = sorted(counts)
    return f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def _exams(runs: FineTunings) -> str:
    """The number of test exams."""
    return _range(content["exams"] for _, _, draws in runs.cells() for content in draws.values())


def _add_pairs(page: Page, runs: FineTunings, auc: Scores) -> bool:
    """Add learning curves, and paired differences of methods with one backbone that differ in one thing, if the study has the
    paper's methods: in the pretraining (each minus none; hearts alone minus whole images; these two minus a random frozen
    backbone), in the images to classify, or in the masks."""
    if not any(_is_of_the_paper(runs.study, number) for number in _TABLES):
        return False
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
    if panels := _panels(runs):
        page.figure(
            validation_curves(panels, {"val_loss": "validation loss"}),
            "Validation while the classifier is trained (as Nakashima 2022, Fig. 1): each draw (pale) and the median of the "
            "draws.",
            main=True,
        )
    return bool(panels)


def _panels(runs: FineTunings) -> dict[str, dict[str, list]]:
    """Histories by panel (a backbone and its images to classify) and pretraining, for the largest number of labelled
    exams."""
    most = max(runs.counts)
    panels: dict[str, dict[str, list]] = {}
    for backbone, images, name in product(BACKBONES, IMAGES, PRETRAININGS):
        draws = runs.histories.get((f"{backbone}_{name}_{images}", most), ())
        # a single validation is no curve
        if found := [draw for draw in draws if sum("val_loss" in row for row in draw) > 1]:
            panels.setdefault(f"{_BACKBONES[backbone]}, {_IMAGES[images]}", {})[name] = found
    return panels


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
    papers = paper_tables.DIAGNOSIS_AUC if scores else ()
    for count, method in product(*paper_tables.beside(papers, {count for _, count in scores}, study.methods)):
        if draws := scores.get((method, count)):
            rows.append(Row.of(f"{count}, {method_name(method)}", over_draws(draws.values()), ""))
        for table in papers:
            if count in table.values.get(method, {}):
                name = f"{count}, {table.paper.name}, {method_name(method)}"
                rows.append(Row.of(name, table.values[method][count], "", published=table))
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
