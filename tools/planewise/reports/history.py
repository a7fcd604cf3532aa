"""Reading the table of losses and scores that a run writes, an epoch a row."""

from __future__ import annotations

import csv
from pathlib import Path


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The rows of a ``history.csv``; columns that an epoch left empty are absent. No file gives no rows."""
    if not Path(path).is_file():
        return []
    with open(path, newline="") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [{**row, "epoch": int(row["epoch"])} for row in rows]
