"""Segmentation from few labels (Zhang 2024 Table 4, Fig. 7)."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from planewise.reports import paper_tables
from planewise.reports.segmentation_figures import method_comparison
from planewise.reports.shown_slices import SHOWN_SLICES, read_shown_slices
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.numbers import pooled, published, spread
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import add_paired
from planewise.reports.study_figures import finetune_curves, method_name

#: Score to the table's title and what papers found.
_SCORES = {
    "dice": ("Dice", paper_tables.SEGMENTATION_DICE),
    "assd_mm": (
        "Average symmetric surface distance (mm), over the structures that were found",
        paper_tables.SEGMENTATION_ASSD,
    ),
    "contour_mm": ("Mean contour distance (mm; Bai 2019, Fig. 4), over the structures that were found", ()),
}


def add(page: Page, study: StudyFolder) -> None:
    runs = FineTunings.found(study, "structures")
    if not runs.scores:
        return
    structures = list(runs.any["structures"])
    page.add(
        f"<h2>Segmentation from few labels (Table 4)</h2><p>{runs.any['volumes']} volumes of {runs.any['exams']} test exams, "
        "at their native spacing. Each draw chooses other labelled exams; both methods of a pair see the same ones. "
        "Cells are mean (standard deviation) over the volumes and structures of all draws.</p>"
    )
    for kind, (title, papers) in _SCORES.items():
        if kind not in runs.any["mean"]:
            continue  # of runs from before there was this score
        header = ["labelled exams, method", "mean", *structures, "missed"]
        if kind == "assd_mm":
            header.insert(2, "mean, 1.0 mm where missed")
        page.table(title, header, _rows(runs, kind, structures, papers))
    add_paired(page, runs.values(lambda content: content["mean"]["dice"]["mean"]), "mean Dice", study.repeats)
    if never := [
        f"{count} labelled, {method_name(method)}, draw {draw}: never predicted {', '.join(content['never_predicted'])}"
        for count, method, draws in runs.cells()
        for draw, content in draws.items()
        if content["never_predicted"]
    ]:
        page.add("<p class=note>" + "<br>".join(map(html.escape, never)) + "</p>")
    curves = finetune_curves(runs.histories, {"val_mean_dice": "validation Dice, volume by volume"})
    page.figure(curves, "Validation Dice while fine-tuning, a line for each draw.")
    for count in runs.counts:
        _add_comparison(page, runs, count)


def _rows(runs: FineTunings, kind: str, structures: list[str], papers: tuple[paper_tables.Published, ...]) -> list[Row]:
    rows = []
    for count, method, draws in runs.cells():
        cells = [
            _cell(draws, kind, content_of=lambda content, name=name: content["structures"][name]) for name in structures
        ]
        mean = _cell(draws, kind, content_of=lambda content: content["mean"], structures=len(structures))
        if kind == "assd_mm":
            cells.insert(0, _cell(draws, "assd_missed_1_mm", lambda content: content["mean"], len(structures)))
        missed = sum(content["mean"]["missed"] for content in draws.values())
        total = sum(content["volumes"] for content in draws.values()) * len(structures)
        rows.append(Row.of(f"{count}, {method_name(method)}", mean, *cells, f"{missed} of {total}"))
        for table in papers:
            if found := table.values.get(method, {}).get(count):
                theirs = [published(found.get(name)) for name in ("mean", *structures)]
                if kind == "assd_mm":
                    theirs.insert(1, "")
                name = f"{count}, {table.paper.name}, {method_name(method)}"
                rows.append(Row.of(name, *theirs, "", paper=table.paper))
    return rows


def _cell(draws: Mapping[int, dict], kind: str, content_of: Callable[[dict], dict], structures: int = 1) -> str:
    """A score over all volumes of all draws, of one structure or of several together.

    Where a structure was missed there is no distance, so a draw that missed more counts less in the mean distance.
    """
    contents = [(content_of(content), content["volumes"] * structures) for content in draws.values()]
    known = [entry for entry, _ in contents if kind in entry]
    if len(known) < len(contents):
        return "-"  # of a run from before there was this score
    if kind == "contour_mm":
        counts = [entry["contours"] for entry in known]
    else:
        counts = [number - entry["missed"] if kind == "assd_mm" else number for entry, number in contents]
    return spread(pooled([entry[kind] for entry in known], counts))


def _add_comparison(page: Page, runs: FineTunings, count: int) -> None:
    """The same slices by the first draw that all methods have; nothing where runs left no slices."""
    methods = {method: draws for of_count, method, draws in runs.cells() if of_count == count}
    if not (shared := set.intersection(*(set(draws) for draws in methods.values()))):
        return
    draw = min(shared)
    slices = {}
    for method in methods:
        found = read_shown_slices(
            runs.study.path / "finetune" / method / str(count) / str(draw) / "test" / SHOWN_SLICES
        )
        if found:
            slices[method_name(method)] = found
    if slices:
        page.figure(
            method_comparison(slices, list(runs.any["structures"])),
            f"{count} labelled exam{'s' if count > 1 else ''}, draw {draw}: the first and the last labelled slice of test "
            "volumes, the hardest ones, the same for all methods (Fig. 7).",
        )
