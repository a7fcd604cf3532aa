"""Diagnosis from segmentations (Zhang 2024 Table 3)."""

from __future__ import annotations

from collections import defaultdict

from planewise.reports import paper_tables
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import method_name


def add(page: Page, study: StudyFolder) -> None:
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    for method, count, _, folder in study.runs("diagnose"):
        content = read_json(folder / "metrics.json")
        if content and content["macro_auc"] is not None:
            scores[method, count].append(content["macro_auc"])
    reference = read_json(study.path / "diagnose" / "reference" / "test" / "metrics.json")
    if not scores and not reference:
        return
    page.add(
        "<h2>Diagnosis (Table 3)</h2><p>A forest on ten features, fitted to reference masks, tested on predicted masks: mean "
        "over five diagnoses of the area under the ROC curve, mean (standard deviation) over the draws.</p>"
    )
    rows = []
    if reference:
        name = "reference masks: the most that segmentation can give"
        rows.append(Row.of(name, reference["macro_auc"], reference["exams"]))
    for count in sorted({count for _, count in scores}):
        for method in study.methods:
            if values := scores.get((method, count)):
                rows.append(Row.of(f"{count}, {method_name(method)}", over_draws(values), ""))
                for table in paper_tables.DIAGNOSIS_AUC:
                    if count in table.values.get(method, {}):
                        name = f"{count}, {table.paper.name}, {method_name(method)}"
                        rows.append(Row.of(name, table.values[method][count], "", published=table))
    page.table("Macro AUC", ["labelled exams, method", "macro AUC", "test exams"], rows)
    page.figure(
        study.path / "diagnose" / "reference" / "test" / "roc.png", "ROC curves and confusion from reference masks."
    )
