"""Diagnosis from segmentations (Zhang 2024 Table 3)."""

from __future__ import annotations

from itertools import product

from planewise.reports import paper_tables
from planewise.reports.methods import method_name
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study.paired import add_paired


def add(page: Page, study: StudyFolder) -> None:
    runs = FineTunings.found(study, "macro_auc", "diagnose", scored="")
    scores = {run: draws for run, draws in runs.values(lambda content: content["macro_auc"]).items() if draws}
    reference = read_json(study.path / "diagnose" / "reference" / "test" / "metrics.json")
    _add_folds(page, study)
    if not scores and not reference:
        return
    if scores:
        page.add(
            "<h2>Diagnosis (Zhang 2024, Table 3)</h2><p>A random forest on ten features is fitted to reference masks and "
            "tested on predicted masks. The score is the area under the ROC curve, averaged over five diagnoses; cells are "
            "the mean (standard deviation) over the draws. Reference masks show what a perfect segmentation would score; "
            "with so few exams, predicted masks may score higher by chance.</p>"
        )
    else:
        page.add(
            "<h2>Diagnosis from the outline alone</h2><p>A control: a forest on ten features (volumes, ejection "
            "fractions and masses of the reference masks, height and weight). It sees no images. If a "
            "method on hearts alone does not score higher, its score may come from the outline of the mask.</p>"
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
    add_paired(page, scores, "macro AUC", study.repeats)
    page.figure(
        study.path / "diagnose" / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks."
    )


def _add_folds(page: Page, study: StudyFolder) -> None:
    """Add the cross-validated diagnosis from reference masks and from predicted ones."""
    rows = []
    for masks in ("reference", "predicted"):
        paths = sorted((study.path / "diagnose" / "folds" / masks).glob("*/metrics.json"))
        if folds := [content for path in paths if (content := read_json(path))]:
            auc, accuracy = (over_draws(content[key] for content in folds) for key in ("macro_auc", "accuracy"))
            rows.append(Row.of(f"{masks} masks", auc, accuracy, sum(content["exams"] for content in folds), len(folds)))
    if rows:
        page.add(
            "<h2>Diagnosis from masks, cross-validated</h2><p>A random forest on ten features (volumes, ejection fractions "
            "and masses of the masks, height and weight) learns from all folds but one and is scored on this fold. The "
            "predicted masks are those of the segmentation that ships. Cells are the mean (standard deviation) over the "
            "folds, which are those of the networks above.</p>"
        )
        page.table("Macro AUC by the masks", ["masks", "macro AUC", "accuracy", "exams", "folds"], rows)
