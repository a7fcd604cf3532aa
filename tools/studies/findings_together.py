"""Score several networks, one per finding, in the same way as one network for all findings.

    python tools/studies/findings_together.py RUNS abnormal acl meniscus

RUNS contains a folder for each finding, with the run's ``test/predictions.csv``. Like
`planewise.evaluation.FindingsReport`, the program writes ``predictions.csv``, ``roc.png`` and finally ``metrics.json`` into
RUNS/test.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from planewise.metrics.classification import finding_scores
from planewise.reports.classification_figures import findings_roc_figure
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_csv, write_json


def score_together(runs: Path, tasks: Sequence[str]) -> dict:
    """Write the scores of all findings.

    Args:
        runs: folder of the runs.
        tasks: names of the findings, which are also the names of the runs' folders.

    Returns:
        The output of `finding_scores`. An exam counts only for the findings for which it has a label.
    """
    rows = {task: _predictions(runs / task / "test" / "predictions.csv") for task in tasks}
    exams = list(dict.fromkeys(exam for found in rows.values() for exam in found))
    columns: dict[str, list] = {"exam": exams}
    for task in tasks:
        columns[f"p({task})"] = [float(rows[task].get(exam, {}).get(f"p({task})", math.nan)) for exam in exams]
        columns[task] = [rows[task].get(exam, {}).get(task, "") for exam in exams]
    probabilities = np.array([columns[f"p({task})"] for task in tasks]).T
    labels = np.array([[float(value) if value else math.nan for value in columns[task]] for task in tasks]).T
    scores = finding_scores(probabilities, labels, tasks)
    folder = runs / "test"
    folder.mkdir(exist_ok=True)
    write_csv(folder / "predictions.csv", columns)
    save_picture(folder / "roc.png", lambda: findings_roc_figure(probabilities, labels, tasks, scores))
    write_json(folder / "metrics.json", scores)
    return scores


def _predictions(path: Path) -> dict[str, dict[str, str]]:
    """Rows of the table of predictions, by exam."""
    with path.open(newline="") as file:
        return {row["exam"]: row for row in csv.DictReader(file)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("tasks", nargs="+")
    given = parser.parse_args()
    score_together(given.runs, given.tasks)
