"""Diagnosis' section: every cell worked out by hand."""

from __future__ import annotations

from planewise.reports.study import diagnosis

from tests.reports.study.studies import study_folder, tables_of, write


def test_macro_auc_over_the_draws_with_the_papers(tmp_path):
    runs = {("none", 4, 0): 0.8, ("none", 4, 1): 0.9, ("none", 4, 2): None, ("multitask", 2, 0): 0.75}
    for (method, count, draw), auc in runs.items():
        write(tmp_path / f"diagnose/{method}/{count}/{draw}/metrics.json", {"macro_auc": auc})
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.94125, "exams": 18})
    tables, _ = tables_of(diagnosis, study_folder(tmp_path))
    assert tables["Macro AUC"] == [
        ["labelled exams, method", "macro AUC", "test exams"],
        ["reference masks: the most that segmentation can give", "0.9413", "18"],
        # the paper has no 2 exams
        ["2, multitask", "0.750", ""],
        # the deviation that two draws 0.1 apart say their population has
        ["4, from scratch", "0.850 (0.071)", ""],
        ["4, Zhang 2024, from scratch", "0.8250", ""],
    ]
