"""Classification of series from few labels (Zhang 2024 Table 5)."""

from __future__ import annotations

from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.study.budgets import add_budgets
from planewise.reports.study.data import drawn_in_words
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Scores, add_paired


def add(page: Page, study: StudyFolder) -> None:
    # runs of a classification from two phases have no positive findings; two_phases.py shows them
    runs = FineTunings.found(study, "positives")
    if not runs.scores:
        return
    tasks = list(runs.any["auc"])
    found = ", ".join(f"{number} {task}" for task, number in runs.any["positives"].items())
    published = study.config.get("published", True)
    if study.config.get("imagenet"):
        start = "As in Zhang 2024, pretexts and fine-tunings start from ImageNet weights, except those from scratch."
    else:
        start = "Here pretexts start from random weights."
        if published:
            start += (
                " Those of Zhang 2024 start from ImageNet weights, so its rows show the combined gain of pretext and "
                "ImageNet weights."
            )
    page.add(
        "<h2>Classification from few labels (Zhang 2024, Table 5)</h2><p>{} test exams: {}. The "
        f"score is the area under the ROC curve, averaged over {len(tasks)} tasks; 0.5 is chance. {{}} Cells are the mean "
        f"(standard deviation) over the draws. {start}</p>",
        runs.any["exams"],
        found,
        drawn_in_words(study, runs.scores),
    )
    auc = runs.values(lambda content: content["macro_auc"])
    counts, methods = runs.counts, study.methods
    if published:
        theirs = (count for table in paper_tables.INJURY_AUC for row in table.values.values() for count in row)
        counts, methods = paper_tables.beside(paper_tables.INJURY_AUC, [*counts, *theirs], methods)
    rows = [row for method in methods for row in _mean_rows(auc, method, method in study.methods, counts)]
    page.table("Mean AUC, by the number of labelled exams", ["method", *counts], rows)
    add_budgets(page, study)
    rows = runs.rows(lambda draws: (*(over_draws(each["auc"][task] for each in draws) for task in tasks), len(draws)))
    page.table("AUC of each task", ["labelled exams, method", *tasks, "draws"], rows)
    add_paired(page, auc, "mean AUC", study.repeats, lead=True)
    runs.add_curves(page, {"val_loss": "validation loss", "val_auc": "validation, mean AUC"})
    # only for the largest number of labelled exams, because every method adds a picture of up to a megabyte
    runs.show(page, "roc.png", ": ROC curves", at_least=max(runs.counts))
    runs.show(page, "saliency.png", ": where the network looked", at_least=max(runs.counts))


def _mean_rows(auc: Scores, method: str, ours: bool, counts: list[int]) -> list[Row]:
    """A method's rows with a column for each number of labelled exams; our row comes before those of the papers."""
    rows = []
    if ours:
        cells = [over_draws(auc[method, count].values()) if (method, count) in auc else "" for count in counts]
        rows.append(Row.of(method_name(method), *cells))
    for table in paper_tables.INJURY_AUC:
        if theirs := table.values.get(method):
            cells = [f"{theirs[count]:.3f}" if count in theirs else "" for count in counts]
            rows.append(Row.of(f"{table.paper.name}, {method_name(method)}", *cells, published=table))
    return rows
