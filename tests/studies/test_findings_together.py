"""Test scoring several networks together, where each network predicts one finding."""

from __future__ import annotations

import csv
import json

from tools.studies.findings_together import score_together


def write_predictions(folder, task, rows):
    (folder / task / "test").mkdir(parents=True)
    with (folder / task / "test" / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["exam", f"p({task})", task], *rows])


def test_each_finding_is_scored_on_the_exams_it_is_known_of(tmp_path):
    # one of the four pairs is in the wrong order
    write_predictions(tmp_path, "acl", [["a", 0.9, 1], ["b", 0.4, 1], ["c", 0.6, 0], ["d", 0.1, 0]])
    # other exams in another order, one of them without a label
    write_predictions(tmp_path, "meniscus", [["d", 0.8, 1], ["e", 0.3, 0], ["a", 0.9, ""]])
    scores = score_together(tmp_path, ["acl", "meniscus"])
    assert scores["auc"] == {"acl": 0.75, "meniscus": 1.0} and scores["macro_auc"] == 0.875
    assert scores["positives"] == {"acl": 2, "meniscus": 1} and scores["exams"] == 5
    assert scores["sensitivity"] == {"acl": 0.5, "meniscus": 1.0}
    assert json.loads((tmp_path / "test/metrics.json").read_text()) == scores
    rows = list(csv.DictReader((tmp_path / "test/predictions.csv").open()))
    assert [row["exam"] for row in rows] == ["a", "b", "c", "d", "e"]
    assert (rows[3]["p(acl)"], rows[3]["acl"], rows[3]["p(meniscus)"], rows[3]["meniscus"]) == ("0.1", "0", "0.8", "1")
    assert (tmp_path / "test/roc.png").exists()
