"""Segmentation of volumes after pretexts in 3D and in 2D (Taleb 2020 Table 1, Figs. 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Collection

from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.study.convergence import add_convergence
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import Compared, Scores, add_differences

_SCRATCH, _2D = "none", "_2d"


def add(page: Page, study: StudyFolder) -> None:
    if study.config["anatomy"] != "volume":
        return
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    dice = runs.values(lambda content: content["mean"]["dice"]["mean"])
    page.add(
        "<h2>Volumes: pretexts in 3D and in 2D (Taleb 2020)</h2><p>Cells are the mean (standard deviation) of"
        " the draws' means. A method in 2D learns its pretext and the segmentation from slices of the "
        "volumes, and is scored on whole volumes.</p>"
    )
    _add_shares(page, runs, dice)
    if set(paper_tables.TUMOUR_REGIONS) <= set(runs.any["structures"]):
        _add_regions(page, runs)
    _add_2d(page, runs, dice)
    _add_convergence(page, runs)


def _add_shares(page: Page, runs: FineTunings, dice: Scores) -> None:
    """Mean Dice of each method against the share of the labelled cases."""
    most = max(runs.counts)
    rows = [
        Row.of(method_name(method), *(over_draws(dice.get((method, count), {}).values()) for count in runs.counts))
        for method in runs.study.methods
        if any((method, count) in dice for count in runs.counts)
    ]
    header = [f"{count} ({round(100 * count / most)} %)" for count in runs.counts]
    page.table("Mean Dice, by the number of labelled cases (Figs. 2 and 3)", ["method", *header], rows)


def _add_regions(page: Page, runs: FineTunings) -> None:
    """Each region of the tumour with all labelled cases, the paper's results below each method, and the paper's
    comparisons.
    """
    most, table, rows = max(runs.counts), paper_tables.TUMOUR_DICE, []
    for method in runs.study.methods:
        draws = runs.scores.get((method, most), {}).values()
        if not draws:
            continue
        found = [
            [content["structures"][name]["dice"]["mean"] for content in draws] for name in paper_tables.TUMOUR_REGIONS
        ]
        rows.append(Row.of(method_name(method), *map(over_draws, found)))
        if method in table.values:
            rows.append(_published(method))
    rows += [_published(method) for method in table.values if method not in runs.study.methods]
    page.table(f"All {most} labelled cases (Table 1)", ["method", *paper_tables.TUMOUR_REGIONS], rows)


def _published(method: str) -> Row:
    table = paper_tables.TUMOUR_DICE
    numbers = (f"{table.values[method][name] / 100:.4f}" for name in paper_tables.TUMOUR_REGIONS)
    name = method.capitalize() if method in paper_tables.CHALLENGE else method_name(method)
    return Row.of(f"{table.paper.name}, {name}", *numbers, published=table)


def _add_2d(page: Page, runs: FineTunings, dice: Scores) -> None:
    """The gain of a 2D pretext over 2D from scratch, and of a 3D pretext over its own 2D form."""
    rows = []
    for count in runs.counts:
        for method in runs.study.methods:
            flat = f"{method}{_2D}"
            compared = [(method, flat)] if flat in runs.study.methods else []
            if method.endswith(_2D) and method != f"{_SCRATCH}{_2D}":
                compared.append((method, f"{_SCRATCH}{_2D}"))
            rows += [Compared(count, one, other) for one, other in compared]
    add_differences(page, "Paired differences in mean Dice, 3D and 2D", dice, rows)


def _add_convergence(page: Page, runs: FineTunings) -> None:
    """The epoch at which each method's validation reached the best of training from scratch."""
    if add_convergence(page, runs, "val_mean_dice", "Speed of convergence (Fig. 5)", _baseline):
        page.add(
            "<p class=note>The first epoch at which the validation Dice reached the best value of training from "
            f"scratch, draw by draw, with all {max(runs.counts)} labelled cases; in 2D, the best value from "
            "scratch in 2D. Cells are over the draws that reached it. The curves are above.</p>"
        )


def _baseline(method: str, curves: Collection[str]) -> str:
    """A method's baseline: scratch, and in 2D scratch in 2D."""
    flat = f"{_SCRATCH}{_2D}"
    return flat if method.endswith(_2D) and flat in curves else _SCRATCH
