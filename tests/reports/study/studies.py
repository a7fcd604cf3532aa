"""Studies made by hand, with the files that their runs would have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planewise.workshop.study.folder import StudyFolder
from planewise.workshop.study.page import Page


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def study_folder(path: Path, **config: Any) -> StudyFolder:
    """A study of the heart without runs."""
    write(path / "study.json", {"pretexts": ["multitask"], "methods": ["none", "multitask"], **config})
    return StudyFolder.read(path)


def tables_of(section: Any, study: StudyFolder) -> tuple[dict[str, list[list[str]]], Page]:
    """The tables that a section writes, each with its header and its rows."""
    page = Page()
    section(page, study)
    return shown(page), page


def shown(page: Page) -> dict[str, list[list[str]]]:
    """The tables of a page by title, each with its header and its rows."""
    return {table.title: [table.header, *table.rows] for table in page.tables}
