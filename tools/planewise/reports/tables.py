"""Write tables of numbers to files, and read a run's table of losses and scores."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planewise.files.atomic_write import atomic_write
from planewise.files.text import cell

logger = logging.getLogger(__name__)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (with n, not n - 1) and median of the known values; NaN if there are none. A single
    value has no standard deviation: NaN."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return {"mean": math.nan, "sd": math.nan, "median": math.nan}
    deviation = float(np.std(known)) if len(known) > 1 else math.nan
    return {"mean": float(np.mean(known)), "sd": deviation, "median": float(np.median(known))}


def percentile(values: Sequence[float], rank: float) -> float:
    """A percentile of the known values, with three decimals; NaN if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return round(float(np.percentile(known, rank)), 3) if known else math.nan


def summary_over_structures(volumes: Sequence[Sequence[float]]) -> dict[str, float]:
    """Like `summary`, for the scores of several structures in each volume: the mean of all known values, and the standard
    deviation and the median over the volumes, each by the mean of its own known values. The structures of a volume differ
    from each other, which says nothing about the spread between patients.
    """
    each = [[value for value in values if math.isfinite(value)] for values in volumes]
    return {
        **summary([float(np.mean(values)) for values in each if values]),
        "mean": summary([value for values in each for value in values])["mean"],
    }


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length with a header as CSV; floats have six digits, and texts are escaped so that no
    spreadsheet executes them."""
    with atomic_write(path) as part, open(part, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else cell(value) for value in row])


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON that any reader accepts; non-finite values become null."""
    with atomic_write(path) as part:
        part.write_text(json_text(content))


def json_text(content: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(json_values(content), indent=1, allow_nan=False)


def json_values(value: Any) -> Any:
    """Convert plain values to values that JSON can represent; non-finite numbers become None."""
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_predictions(file: Path, columns: Mapping[str, Sequence[Any]], note: str | None) -> None:
    """Write a table of predictions, with the note, if there is one, in the log and in every row."""
    notes = {} if note is None else {"note": [note] * len(next(iter(columns.values())))}
    write_csv(file, {**columns, **notes})
    if note is not None:
        logger.info("%s: %s", file.name, note)


def nested_numbers(content: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers in nested dictionaries, such as ``{"mean_dice_sd": 0.1}``; lists are left out."""
    found: dict[str, float] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= nested_numbers(value, f"{above}{key}_")
        elif isinstance(value, int | float):
            found[f"{above}{key}"] = value
    return found


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
