"""Test every cell of the section about diagnosis against values worked out by hand."""

from __future__ import annotations

from planewise.reports.study.classification import add_diagnosis

from tests.reports.study.studies import study_folder, tables_of, write


def test_macro_auc_over_the_draws_with_the_papers(tmp_path):
    runs = {("none", 4, 0): 0.8, ("none", 4, 1): 0.9, ("none", 4, 2): None, ("multitask", 2, 0): 0.75}
    for (method, count, draw), auc in runs.items():
        write(tmp_path / f"diagnose/{method}/{count}/{draw}/metrics.json", {"macro_auc": auc})
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.94125, "exams": 18})
    tables, page = tables_of(add_diagnosis, study_folder(tmp_path))
    header, reference, *rows = tables["Macro AUC"]
    assert header == ["labelled exams, method", "macro AUC", "test exams"]
    assert reference == ["reference masks", "0.9413", "18"]
    assert [row for row in rows if "Zhang" not in row[0]] == [
        ["2, multitask", "0.750", ""],
        # the standard deviation estimated from two draws 0.1 apart
        ["4, from scratch", "0.850 (0.071)", ""],
    ]
    # of the paper's Table 3: 14 methods with 4 exams, and no row for 2
    assert len(rows) == 2 + 14
    assert rows[:4] == [
        ["2, multitask", "0.750", ""],
        ["4, from scratch", "0.850 (0.071)", ""],
        ["4, Zhang 2024, from scratch", "0.8250", ""],
        ["4, Zhang 2024, multitask", "0.9030", ""],
    ]
    (table,) = page.tables
    assert sum(row.published is not None for row in table.rows) == 14


def test_reference_masks_alone_are_a_control(tmp_path):
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.9, "exams": 70})
    tables, page = tables_of(add_diagnosis, study_folder(tmp_path))
    assert tables["Macro AUC"][1:] == [["reference masks", "0.9000", "70"]]
    assert "from the outline alone" in page.html("") and "predicted masks" not in page.html("")


def test_methods_are_compared_draw_by_draw(tmp_path):
    runs = {
        "none": (0.9, 0.6, 0.7),
        # unknown in the first draw, then +.1 +.2: .15 -+ 12.706 * .0707 / sqrt(2)
        "multitask": (None, 0.7, 0.9),
        # +.19 +.20 +.21 over scratch, .2 -+ 4.303 * .01 / sqrt(3); +.1 +.01 over multitask
        "simclr": (1.09, 0.8, 0.91),
    }
    for method, scores in runs.items():
        for draw, auc in enumerate(scores):
            write(tmp_path / f"diagnose/{method}/4/{draw}/metrics.json", {"macro_auc": auc})
    tables, page = tables_of(add_diagnosis, study_folder(tmp_path, methods=["none", "multitask", "simclr"]))
    assert tables["Paired differences in macro AUC"][1:] == [
        [
            "4, multitask minus scratch",
            "+0.150",
            "0.071",
            "-0.485 to +0.785",
            "2 of 2",
            "+0.100 +0.200",
            "inconclusive",
        ],
        ["4, SimCLR minus scratch", "+0.200", "0.010", "+0.175 to +0.225", "3 of 3", "+0.190 +0.200 +0.210", "better"],
    ]
    (row,) = tables["Paired differences in macro AUC from multitask"][1:]
    assert row[0] == "4, SimCLR minus multitask" and row[-2:] == ["+0.100 +0.010", "inconclusive"]
    assert "1 of 2 intervals exclude zero" in page.html("")


def test_of_reference_masks_alone_there_is_one_row(tmp_path):
    write(tmp_path / "diagnose/reference/test/metrics.json", {"macro_auc": 0.9, "exams": 18})
    tables, _ = tables_of(add_diagnosis, study_folder(tmp_path))
    assert len(tables["Macro AUC"]) == 2 and list(tables) == ["Macro AUC"]
