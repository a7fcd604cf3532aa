"""Test reading the folder of a study."""

from __future__ import annotations

from planewise.workshop.study.folder import datalist_of

from tests.reports.study.studies import study_folder


def test_runs_come_in_the_order_of_the_methods_and_of_numbers(tmp_path):
    study = study_folder(tmp_path, methods={"none": {}, "multitask": {}, "byol": {}})
    runs = "byol/4/0 none/16/0 none/4/10 none/4/2 multitask/1/0 other/1/0 byol/notes/0"
    for run in runs.split():
        (study.path / "finetune" / run).mkdir(parents=True)
    found = list(study.runs("finetune"))
    assert [f"{method}/{count}/{draw}" for method, count, draw, _ in found] == [
        "none/4/2", "none/4/10", "none/16/0", "multitask/1/0", "byol/4/0"
    ]  # fmt: skip
    assert found[1][3] == study.path / "finetune" / "none" / "4" / "10"
    assert list(study.runs("diagnose")) == []


def test_a_study_that_names_no_unlabelled_exams_pretrains_on_the_labelled_datalist(tmp_path):
    both, one = {"unlabelled": "a", "labelled": "b"}, {"unlabelled": None, "labelled": "b"}
    of = {
        "a": {"datalists": both},
        "b": {"datalists": one, "phantom": None},
        str(tmp_path / "unlabelled.json"): {"phantom": both | {"unlabelled": ""}},
        str(tmp_path / "labelled.json"): {"phantom": one, "datalists": None},
    }
    for path, config in of.items():
        kind, found = datalist_of(config, "unlabelled", tmp_path)
        assert str(found) == path and (kind == "unlabelled") == (path in ("a", str(tmp_path / "unlabelled.json")))
        assert datalist_of(config, "labelled", tmp_path)[0] == "labelled"
