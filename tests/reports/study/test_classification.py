"""Test every cell of the section about classification against values worked out by hand."""

from __future__ import annotations

import pytest
from planewise.workshop.study.classification import add_classification

from tests.reports.study.studies import study_folder, tables_of, write


@pytest.fixture
def study(tmp_path):
    runs = {
        ("none", 80, 0): (0.5, {"acl": 0.4, "meniscus": 0.6}),
        ("none", 80, 1): (0.6, {"acl": 0.5, "meniscus": 0.7}),
        ("multitask", 16, 0): (0.7, {"acl": 0.9, "meniscus": 0.5}),
        ("multitask", 80, 1): (0.9, {"acl": 0.8, "meniscus": 1.0}),
        ("multitask", 80, 2): (None, {"acl": None, "meniscus": 0.3}),
    }
    for (method, count, draw), (mean, auc) in runs.items():
        content = {"exams": 30, "macro_auc": mean, "auc": auc, "positives": {"acl": 7, "meniscus": 11}}
        write(tmp_path / f"finetune/{method}/{count}/{draw}/test/metrics.json", content)
    return study_folder(tmp_path, anatomy="knee")


def test_a_column_is_a_number_of_labelled_exams(study):
    tables, _ = tables_of(add_classification, study)
    header, *rows = tables["Mean AUC, by the number of labelled exams"]
    assert header == ["method", "16", "80"]
    cells = {row[0]: row[1:] for row in rows}
    # 0.5 and 0.6: 0.1 / sqrt(2) wide
    assert cells["from scratch"] == ["-", "0.550 (0.071)"]
    assert cells["multitask"] == ["0.700", "0.900"]


def test_tasks_and_draws_are_counted_apart(study):
    tables, _ = tables_of(add_classification, study)
    assert tables["AUC of each task"] == [
        ["labelled exams, method", "acl", "meniscus", "draws"],
        ["16, multitask", "0.900", "0.500", "1"],
        ["80, from scratch", "0.450 (0.071)", "0.650 (0.071)", "2"],
        # only one of two draws has an AUC for acl; 1.0 and 0.3 have a deviation of 0.7 / sqrt(2)
        ["80, multitask", "0.800", "0.650 (0.495)", "2"],
    ]


def test_pictures_are_of_the_first_draw_with_most_labelled_exams(study):
    for folder in study.path.glob("finetune/*/*/*/test"):
        for name in ("roc.png", "saliency.png"):
            (folder / name).write_bytes("/".join((*folder.parts[-4:-1], name)).encode())
    _, page = tables_of(add_classification, study)
    shown = {picture.png: picture.caption for picture in page.pictures if picture.png.endswith(b".png")}
    assert shown == {
        f"{run}/{name}.png".encode(): f"80 labelled exams, {called}{what}."
        for name, what in (("roc", ": ROC curves"), ("saliency", ": where the network looked"))
        for run, called in (("none/80/0", "from scratch, draw 0"), ("multitask/80/1", "multitask, draw 1"))
    }
