"""Read a run's table of losses and scores, which has one row per epoch."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def read_history(path: str | Path) -> list[dict[str, float]]:
    """The rows of a ``history.csv``, without the columns that an epoch left empty; an empty list if there is no file.

    A row that cannot be read, because the file was truncated or edited, is left out with a warning. All rows after text
    that is not a table are left out, too.
    """
    if not Path(path).is_file():
        return []
    rows: list[dict[str, float]] = []
    with open(path, newline="", errors="replace") as file:
        table = csv.DictReader(file)
        try:
            for row in table:
                try:
                    values = {name: float(value) for name, value in row.items() if value}
                    epoch = int(values["epoch"])
                    if epoch < 1:
                        raise ValueError("epochs are counted from 1")
                    rows.append({**values, "epoch": epoch})
                except (ValueError, TypeError, KeyError, OverflowError):
                    logger.warning("%s: row %d cannot be read and is left out", Path(path).name, len(rows) + 1)
        except csv.Error as error:
            logger.warning("%s: the rows from line %d on cannot be read (%s)", Path(path).name, table.line_num, error)
    return rows
