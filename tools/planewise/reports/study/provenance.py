"""Provenance of a study's results: versions, commit and configuration."""

from __future__ import annotations

import json

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>What ran</h2>")
    record = next((read_json(path) for path in sorted(study.path.glob("*/**/run.json"))), None)
    if record:
        packages = ", ".join(f"{name} {number}" for name, number in record["packages"].items() if number)
        page.add("<p class=note>{}; Python {}; commit {}.</p>", packages, record["python"], record["commit"])
    page.add("<pre>{}</pre>", json.dumps(study.config, indent=1))
