"""Test the files of reports: tables, planes for 3D Slicer, and the study's page."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from planewise.findings import finding
from planewise.reports.planned_views import disagreements, plane_in_words, slicer_markups
from planewise.reports.tables import summary, write_csv, write_json
from planewise.workshop.study.study_report import write_study_report


def test_what_is_not_known_is_null_and_left_out(tmp_path):
    write_json(tmp_path / "a.json", {"mean": math.nan, "list": [1.0, math.inf], "text": "nan"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"mean": None, "list": [1.0, None], "text": "nan"}
    assert summary([1.0, math.nan, 3.0]) == {"mean": 2.0, "sd": 1.0, "median": 2.0}
    assert math.isnan(summary([math.nan])["mean"])


def test_columns_of_a_csv(tmp_path):
    write_csv(tmp_path / "a.csv", {"exam": ["ab", "c,d"], "score": [0.12345678, 2]})
    assert list(csv.reader((tmp_path / "a.csv").read_text().splitlines())) == [
        ["exam", "score"],
        ["ab", "0.123457"],
        ["c,d", "2"],
    ]
    with pytest.raises(ValueError):
        write_csv(tmp_path / "a.csv", {"exam": ["ab"], "score": []})


def test_markups_are_the_planes_in_slicers_frame():
    normal = np.array([0.48, -0.6, 0.64])
    views = {
        "2ch": {
            "origin": [10.0, -20.0, 30.0],
            "normal": normal.tolist(),
            "within_deg": 6.12,
            "within_mm": 2.0,
            "slices_that_disagree": [3],
            "slices_without_a_line": [],
        },
        "4ch": {"origin": None, "normal": None},
    }
    (plane,) = slicer_markups({"views": views, "bounds_measured_on": "9 exams"})["markups"]
    assert "6.1 deg" in plane["controlPoints"][0]["description"]
    assert plane["coordinateSystem"] == "LPS" and "research only" in plane["name"]
    assert plane["controlPoints"][0]["position"] == [-10.0, 20.0, 30.0]
    frame = np.array(plane["baseToNode"]).reshape(4, 4)
    assert np.allclose(frame[:3, 2], normal * (-1, -1, 1)) and np.allclose(frame[:3, 3], [-10, 20, 30])
    assert np.allclose(frame[:3, :3].T @ frame[:3, :3], np.eye(3)) and np.linalg.det(frame[:3, :3]) == pytest.approx(1)


def test_what_a_person_should_know_of_a_plane():
    view = {"within_deg": 6.12, "within_mm": 2.0, "slices_that_disagree": [3, 7, 9], "slices_without_a_line": [10]}
    plan = {"views": {"4ch": view}, "bounds_measured_on": "120 phantom exams", "phases": 8}
    assert disagreements(view, "4ch") == [
        finding("plane-disagrees", "4ch", kind="disagree", names=["slice 3", "slice 7", "slice 9"], count=3),
        finding("plane-disagrees", "4ch", kind="no-line", names=["slice 10"], count=1),
    ]
    assert len(plane_in_words(view, plan)) == 3
    del plan["phases"]
    assert len(plane_in_words(view, plan)) == 4, "its bounds do not include the heart's motion"
    assert len(plane_in_words(view, plan | {"views": {"axial": view}})) == 3, "a knee has no phases"
    assert plane_in_words(view | {"within_mm": None}, plan) == [*map(str, disagreements(view))]
    assert plane_in_words(dict.fromkeys(view), plan) == [], "without a plane, there are no notes"


def test_a_study_that_has_not_run_yet_gives_a_page_and_escapes_its_title(tmp_path):
    config = {"title": "<b>mine</b>", "pretexts": ["multitask"], "methods": ["none", "multitask"]}
    (tmp_path / "study.json").write_text(json.dumps(config))
    assert write_study_report(tmp_path, tmp_path / "report/index.html") == []
    page = (tmp_path / "report/index.html").read_text()
    assert "<b>mine</b>" not in page and "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "the exams of the study's datalists" in page and "<h2>Segmentation" not in page
