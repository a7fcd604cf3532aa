"""Test the page of a classification study: it shows the runs' numbers and contains its pictures."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from planewise.errors import InputError
from planewise.reports.tables import write_csv
from planewise.workshop.study.folder import method_name
from planewise.workshop.study.page import Table
from planewise.workshop.study.paired import paired_draws, scores_by_count
from planewise.workshop.study.study_report import write_study_report

TASKS = ("abnormal", "acl", "meniscus")
CONFIG = {
    "title": "a test",
    "anatomy": "knee",
    "phantom": {"unlabelled": "", "labelled": ""},
    "pretexts": ["location", "multitask"],
    "methods": ["none", "multitask"],
    "label_counts": [16, 80],
    "draws": [0, 1, 2],
}
#: AUC for each method, count, draw and task.
AUC = {
    (method, count, draw): np.random.default_rng([len(method), count, draw]).uniform(0.4, 0.9, 3)
    for method in CONFIG["methods"]
    for count in CONFIG["label_counts"]
    for draw in CONFIG["draws"]
}
LOCATION = {"mse": 0.021, "mae": 0.12, "pearson_r": 0.87654, "r2": 0.76, "explained_variance": 0.77}
SPREAD = {"mean": 3.25, "sd": 1.5, "median": 3.0}


@pytest.fixture
def study(tmp_path) -> Path:
    (tmp_path / "study.json").write_text(json.dumps(CONFIG))
    for name, sections in (("unlabelled", (4, 1, 2)), ("labelled", (80, 10, 30))):
        sizes = dict(zip(("training", "validation", "test"), sections, strict=True))
        content = {section: [{"exam": f"{section}{k}"} for k in range(size)] for section, size in sizes.items()}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for pretext in CONFIG["pretexts"]:
        folder = tmp_path / "pretrain" / pretext
        metrics = {"slices": 40, "exams": 2, "location": LOCATION}
        columns = {"epoch": [1, 2], "train_loss": [0.5, 0.4], "val_loss": [0.6, 0.5], "location_mae": [0.2, 0.1]}
        if pretext == "multitask":
            kinds = ("line_angle_deg", "line_distance_mm", "plane_angle_deg", "plane_offset_mm")
            views = {view: dict.fromkeys(kinds, SPREAD) for view in ("axial", "coronal")}
            metrics["orientation"] = {"heatmap_mse": 0.0123, "views": views}
            columns |= {"axial_angle": [9.0, 7.0], "coronal_angle": [8.0, 6.0]}
        (folder / "test").mkdir(parents=True)
        (folder / "test/metrics.json").write_text(json.dumps(metrics))
        write_csv(folder / "history.csv", columns)
    for (method, count, draw), values in AUC.items():
        folder = tmp_path / "finetune" / method / str(count) / str(draw)
        auc = dict(zip(TASKS, map(float, values), strict=True))
        metrics = {
            "exams": 30,
            "macro_auc": float(values.mean()),
            "auc": auc,
            "positives": {"abnormal": 24, "acl": 7, "meniscus": 11},
            "sensitivity": dict.fromkeys(TASKS, 0.5),
            "specificity": dict.fromkeys(TASKS, 0.5),
        }
        (folder / "test").mkdir(parents=True)
        (folder / "test/metrics.json").write_text(json.dumps(metrics))
        columns = {"train_loss": [0.7, 0.6], "val_loss": [0.7, 0.65], "val_auc": [0.5, 0.6]}
        write_csv(folder / "history.csv", {"epoch": [1, 2], **columns})
    return tmp_path


def test_the_scores_of_all_cases_are_in_one_table(study):
    """The report writes `scores.csv` next to the page, for the user's own statistics."""
    assert not (study / "report/scores.csv").exists() and written(study)
    assert not (study / "report/scores.csv").exists(), "no training has written a table of its cases"
    for draw, name in ((0, "e1"), (2, "e2")):
        write_csv(study / f"finetune/none/16/{draw}/test/predictions.csv", {"exam": [name], "acl": [0.25]})
    written(study)
    rows = (study / "report/scores.csv").read_text().splitlines()
    assert rows == ["method,labelled_exams,draw,exam,acl", "none,16,0,e1,0.25", "none,16,2,e2,0.25"]
    header, *rows = (study / "report/differences.csv").read_text().splitlines()
    numbers = "draws,mean,standard_deviation,low,high,verdict,difference_1,difference_2,difference_3"
    assert header == f"table,labelled_exams,method,baseline,{numbers}"
    gain = np.mean([AUC["multitask", 80, draw].mean() - AUC["none", 80, draw].mean() for draw in range(3)])
    (row,) = [row.split(",") for row in rows if row.startswith("Paired differences in mean AUC,80,multitask,none,3,")]
    assert float(row[5]) == pytest.approx(gain, rel=1e-4)
    assert np.mean([float(value) for value in row[-3:]]) == pytest.approx(gain, rel=1e-4)
    rows = csv.DictReader((study / "report/runs.csv").read_text().splitlines())
    *_, run = [row for row in rows if row["method"] == "multitask" and row["draw"] == "2"]
    assert float(run["macro_auc"]) == pytest.approx(AUC["multitask", int(run["labelled_exams"]), 2].mean(), rel=1e-4)
    (study / "finetune/none/16/0/test/predictions.csv").write_bytes(b"exam,acl\nna\xefve,0.25\n")
    written(study)
    assert "none,16,0,na\ufffdve,0.25" in (study / "report/scores.csv").read_text(), "written by another program"


def written(study: Path) -> tuple[dict[str, Table], str]:
    tables = write_study_report(study, study / "report/index.html")
    return {table.title: table for table in tables}, (study / "report/index.html").read_text()


def test_what_is_not_a_study_is_refused(tmp_path):
    for path in ("", "nowhere"):
        with pytest.raises(InputError):
            write_study_report(tmp_path / path, tmp_path / "report/index.html")
    assert not (tmp_path / "report").exists()


def test_a_page_begins_with_what_was_done_and_the_main_results(study):
    _, page = written(study)
    places = [page.index(text) for text in ("12 of 12", "minus training from scratch", "<table>")]
    assert places == sorted(places)
    next((study / "finetune/multitask/80").glob("*/test/metrics.json")).unlink()
    assert "11 of 12" in written(study)[1]


def test_the_plots_are_carried_inside(study):
    _, page = written(study)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 2, "scores by count, and paired draws"


def test_a_line_goes_through_the_means_of_a_methods_draws():
    scores = {("none", 16): {0: 0.4, 1: 0.6}, ("none", 1): {0: 0.2}, ("location", 16): {0: 0.9}}
    lines = scores_by_count(scores, "AUC").axes[0].get_lines()
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in lines if line.get_linestyle() == "-"]
    assert drawn == [([1, 16], pytest.approx([0.2, 0.5])), ([16], pytest.approx([0.9]))]


def test_each_draw_is_a_dot_beside_the_same_draw_of_scratch():
    gains = {("location", 1): [0.1, 0.3], ("location", 16): [-0.2], ("relative patch location", 1): [-0.3]}
    figure = paired_draws({run: np.array(draws) for run, draws in gains.items()}, "mean AUC on test exams")
    first, second = figure.axes
    zero, dots, mean, bar, *other = [(list(line.get_xdata()), list(line.get_ydata())) for line in first.get_lines()]
    # gains of .1 and .3: the mean is .2, the standard error .1, and Student's t for one degree of freedom 12.706
    assert (
        zero[0] == [0, 0] and dots == (pytest.approx([0.1, 0.3]), [0.25, 0.25]) and mean == (pytest.approx([0.2]), [0])
    )
    assert bar == (pytest.approx([0.2 - 1.2706, 0.2 + 1.2706], abs=1e-4), [0, 0])
    # a single draw has no interval; a method without draws for this number of exams has an empty row
    assert other == [(pytest.approx([-0.3]), [1.25]), (pytest.approx([-0.3]), [1])]
    assert [list(line.get_xdata()) for line in second.get_lines()[1:]] == [pytest.approx([-0.2])] * 2
    assert [axes.get_title() for axes in figure.axes] == ["1 exam", "16 exams"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["location", "relative patch location"]
    assert first.get_ylim() == (1.5, -0.5), "the first method on top"
    assert figure.get_supxlabel() == "mean AUC on test exams, minus training from scratch"


def test_what_a_method_is_called():
    methods = {"simclr_again": {"name": "SimCLR again"}, "none": None, "multitask_again": {"pretext": "multitask"}}
    names = {name: method_name(name, methods) for name in (*methods, "models_genesis", "imagenet")}
    assert names == {
        "simclr_again": "SimCLR again", "none": "from scratch", "multitask_again": "multitask again",
        "models_genesis": "Models Genesis", "imagenet": "ImageNet",
    }  # fmt: skip
