"""Provenance of a study's results: versions, commit and configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>What ran</h2>")
    record = next((read_json(path) for path in sorted(study.path.glob("*/**/run.json"))), None)
    if record:
        packages = ", ".join(f"{name} {number}" for name, number in record["packages"].items() if number)
        page.add("<p class=note>{}; Python {}; commit {}.</p>", packages, record["python"], record["commit"])
    page.add("<pre>{}</pre>", json.dumps(_without_folders(study.config), indent=1))


def _without_folders(value: Any) -> Any:
    """The settings with only the names of files and folders, because a page is passed on, and paths contain names of people
    and machines."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return f".../{Path(value).name}" if isinstance(value, str) and Path(value).is_absolute() else value
