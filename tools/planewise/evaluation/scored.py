"""Record which weights and which exams scores belong to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from planewise.engines.running_parser import running_parser
from planewise.errors import InputError
from planewise.files.checksum import digest, sha256
from planewise.files.text import read_json
from planewise.networks.pretrained import weights_path
from planewise.reports.tables import write_json

#: Name of the record, in the folder of ``metrics.json``.
SCORED = "scored.json"


def write_scored(folder: Path, metrics: str) -> None:
    """Write `SCORED` for the running evaluation: the section of the datalist, and the SHA-256 of the datalist, of the weights
    and of the scores.

    Outside a config that evaluates weights, an earlier record is removed instead.

    Args:
        folder: folder of ``metrics.json``.
        metrics: the text of ``metrics.json``.
    """
    file = folder / SCORED
    parser = running_parser()
    if parser is None or any(name not in parser for name in ("section", "datalist", "weights")):
        file.unlink(missing_ok=True)
        return
    section, datalist, weights = (parser.get_parsed_content(name) for name in ("section", "datalist", "weights"))
    record = {
        "section": str(section),
        "datalist": digest(datalist),
        "weights": digest(weights_path(weights)) if weights else None,
        "metrics": hashlib.sha256(metrics.encode()).hexdigest(),
    }
    write_json(file, record)


def read_scored(metrics: Path) -> dict[str, Any] | None:
    """The record of a file of scores; None if there is none, or if it belongs to other scores."""
    try:
        record = read_json(metrics.with_name(SCORED))
    except InputError:
        return None
    if not isinstance(record, dict) or not record.get("weights") or record.get("metrics") != sha256(metrics):
        return None
    return record
