"""Grading of photographs from few grades (Taleb 2020, Figs. 4 and 6)."""

from __future__ import annotations

from planewise.reports.study.budgets import add_budgets
from planewise.reports.study.convergence import add_convergence
from planewise.reports.study.data import drawn_in_words, labelled_exams
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page
from planewise.reports.study.paired import add_paired


def add(page: Page, study: StudyFolder) -> None:
    runs = FineTunings.found(study, "kappa")
    if not runs.scores:
        return
    kappa = runs.values(lambda content: content["kappa"])
    page.add(
        "<h2>Grading from few grades (Taleb 2020)</h2><p>{} photographs were graded. The score is the "
        "quadratic weighted kappa: 1 is agreement, 0 is chance. {} Cells are the mean (standard "
        "deviation) over the draws. The paper gives its kappas as curves (Figs. 4 and 9), so there are no numbers for "
        "comparison.</p>",
        runs.any["photographs"],
        drawn_in_words(study, runs.scores),
    )
    most = max(runs.counts)
    graded = labelled_exams(study) or most
    runs.add_counts(page, "Kappa, by the number of graded photographs (Fig. 4)", kappa, graded)
    add_budgets(page, study)
    grades = list(runs.any["recall"])
    page.table(
        "Share of each true grade that was predicted correctly",
        ["graded photographs, method", *grades, "accuracy", "grades apart"],
        runs.rows(
            lambda draws: (
                *(over_draws(each["recall"][grade] for each in draws) for grade in grades),
                *(over_draws(each[key] for each in draws) for key in ("accuracy", "distance")),
            )
        ),
    )
    if add_convergence(page, runs, "val_kappa", "Speed of convergence (Fig. 6)"):
        page.add(
            "<p class=note>The first epoch at which the validation kappa reached the best value of training from "
            f"scratch, draw by draw, with {'' if most < graded else 'all '}{most} graded photographs. Cells are the mean "
            "(standard deviation) over the draws that reached it. The paper's figure shows the curves, which are below.</p>"
        )
    add_paired(page, kappa, "kappa", study.repeats, lead=True, labelled=study.labelled)
    runs.add_curves(page, {"val_loss": "validation loss", "val_kappa": "validation, kappa"}, main=True)
    runs.show(page, "confusion.png", ": which grade was predicted", at_least=most)
    runs.show(page, "photographs.png", ": the photographs with the worst grading", at_least=most)
