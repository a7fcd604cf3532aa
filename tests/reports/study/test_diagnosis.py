"""Test every cell of the section about diagnosis against values worked out by hand."""

from __future__ import annotations

from planewise.workshop.study.sections import add_diagnosis

from tests.reports.study.studies import study_folder, tables_of, write


def test_macro_auc_over_the_draws_with_the_papers(tmp_path):
    runs = {("none", 4, 0): 0.8, ("none", 4, 1): 0.9, ("none", 4, 2): None, ("multitask", 2, 0): 0.75}
    for (method, count, draw), auc in runs.items():
        write(tmp_path / f"diagnose/{method}/{count}/{draw}/metrics.json", {"macro_auc": auc})
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.94125, "exams": 18})
    tables, _ = tables_of(add_diagnosis, study_folder(tmp_path))
    header, reference, *rows = tables["Macro AUC"]
    assert header == ["labelled exams, method", "macro AUC", "test exams"]
    assert reference == ["reference masks", "0.9413", "18"]
    # the standard deviation estimated from two draws 0.1 apart
    assert rows == [["2, multitask", "0.750", ""], ["4, from scratch", "0.850 (0.071)", ""]]


def test_reference_masks_alone_are_a_control(tmp_path):
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.9, "exams": 70})
    tables, page = tables_of(add_diagnosis, study_folder(tmp_path))
    assert tables["Macro AUC"][1:] == [["reference masks", "0.9000", "70"]]
    assert "predicted masks" not in page.html("")


def test_folds_are_averaged_by_the_masks(tmp_path):
    for fold, auc in enumerate((0.8, 0.9)):
        path = tmp_path / f"diagnose/folds/predicted/{fold}/metrics.json"
        write(path, {"macro_auc": auc, "accuracy": 0.5, "exams": 10 + fold})
    tables, _ = tables_of(add_diagnosis, study_folder(tmp_path))
    assert tables == {
        "Macro AUC by the masks": [
            ["masks", "macro AUC", "accuracy", "exams", "folds"],
            ["predicted masks", "0.850 (0.071)", "0.500 (0.000)", "21", "2"],
        ]
    }
