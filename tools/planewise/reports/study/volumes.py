"""Segmentation of volumes after pretexts in 3D and in 2D, or at two learning rates (Taleb 2020 Table 1, Figs. 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.study.convergence import add_convergence
from planewise.reports.study.data import labelled_exams
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Compared, Scores, add_differences

_SCRATCH, _2D = "none", "_2d"
#: Endings of methods' names; the baseline of such a method is training from scratch with the same ending.
_ENDINGS = (_2D, "_slow")


def add(page: Page, study: StudyFolder) -> None:
    if study.config["anatomy"] != "volume":
        return
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    dice = runs.values(lambda content: content["mean"]["dice"]["mean"])
    page.add("<h2>Volumes (Taleb 2020)</h2><p>Cells are the mean (standard deviation) of the draws' means.")
    if any(method.endswith(_2D) for method in study.methods):
        page.add(
            "A method in 2D learns its pretext and the segmentation from slices of the volumes, and is scored on "
            "whole volumes."
        )
    page.add("</p>")
    cases = labelled_exams(study) or max(runs.counts)
    runs.add_counts(page, "Mean Dice, by the number of labelled cases (Figs. 2 and 3)", dice, cases)
    if set(runs.any["structures"]) <= set(paper_tables.TUMOUR_REGIONS):
        _add_regions(page, runs, cases)
    _add_forms(page, runs, dice)
    _add_convergence(page, runs)


def _add_regions(page: Page, runs: FineTunings, cases: int) -> None:
    """Add a table of the tumour's regions for the largest number of labelled cases.

    The row below each method is the paper's result with all of its cases; methods that only the paper has come last.
    """
    most, table, rows = max(runs.counts), paper_tables.TUMOUR_DICE, []
    regions = [name for name in paper_tables.TUMOUR_REGIONS if name in runs.any["structures"]]
    for method in runs.study.methods:
        draws = runs.scores.get((method, most), {}).values()
        if not draws:
            continue
        found = [[content["structures"][name]["dice"]["mean"] for content in draws] for name in regions]
        rows.append(Row.of(method_name(method), *map(over_draws, found)))
        if method in table.values:
            rows.append(_published(method, regions))
    rows += [_published(method, regions) for method in table.values if method not in runs.study.methods]
    given = (
        f"All {most} labelled cases" if most == cases else f"{most} of {cases} labelled cases, and all of the paper's"
    )
    page.table(f"{given} (Table 1)", ["method", *regions], rows)


def _published(method: str, regions: Sequence[str]) -> Row:
    table = paper_tables.TUMOUR_DICE
    numbers = (f"{table.values[method][name] / 100:.4f}" for name in regions)
    name = method.capitalize() if method in paper_tables.CHALLENGE else method_name(method)
    return Row.of(f"{table.paper.name}, {name}", *numbers, published=table)


def _add_forms(page: Page, runs: FineTunings, dice: Scores) -> None:
    """Add the gain of each 2D pretext over training from scratch in 2D, and of each 3D pretext over its own 2D form; then
    the same for methods with a lower learning rate."""
    for ending in _ENDINGS:
        baseline, rows = f"{_SCRATCH}{ending}", []
        for count in runs.counts:
            for method in runs.study.methods:
                if f"{method}{ending}" in runs.study.methods:
                    rows.append(Compared(count, method, f"{method}{ending}"))
                if method.endswith(ending) and method != baseline:
                    rows.append(Compared(count, method, baseline))
        forms = "3D and 2D" if ending == _2D else "two rates"
        add_differences(page, f"Paired differences in mean Dice, {forms}", dice, rows)


def _add_convergence(page: Page, runs: FineTunings) -> None:
    """Add the epoch at which each method's validation score reached the best score of training from scratch."""
    if add_convergence(page, runs, "val_mean_dice", "Speed of convergence (Fig. 5)", _baseline):
        page.add(
            "<p class=note>The first epoch at which the validation Dice reached the best value of training from "
            f"scratch, draw by draw, with {max(runs.counts)} labelled cases. Methods in 2D are compared "
            "with training from scratch in 2D. Cells are the mean (standard deviation) over the draws that reached it.</p>"
        )


def _baseline(method: str, curves: Collection[str]) -> str:
    """A method's baseline: training from scratch; for a method in 2D, training from scratch in 2D if it exists."""
    flat = f"{_SCRATCH}{_2D}"
    return flat if method.endswith(_2D) and flat in curves else _SCRATCH
