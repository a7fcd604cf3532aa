"""Read a run's table of losses and scores, which has one row per epoch."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The rows of a ``history.csv``, without the columns that an epoch left empty; an empty list if there is no file.

    A row that cannot be read, because the file was truncated or edited, is left out with a warning.
    """
    if not Path(path).is_file():
        return []
    rows: list[dict[str, float]] = []
    with open(path, newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            try:
                values = {name: float(value) for name, value in row.items() if value}
                rows.append({**values, "epoch": int(values["epoch"])})
            except (ValueError, TypeError, KeyError, OverflowError):
                logger.warning("%s: row %d cannot be read and is left out", Path(path).name, len(rows) + 1)
    return rows
