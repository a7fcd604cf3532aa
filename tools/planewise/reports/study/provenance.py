"""What ran: versions, commit, the study's configuration."""

from __future__ import annotations

import html
import json

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>What ran</h2>")
    record = next((read_json(path) for path in sorted(study.path.glob("*/**/run.json"))), None)
    if record:
        packages = ", ".join(f"{name} {number}" for name, number in record["packages"].items() if number)
        page.add(f"<p class=note>{html.escape(packages)}; Python {record['python']}; commit {record['commit']}.</p>")
    page.add(f"<pre>{html.escape(json.dumps(study.config, indent=1))}</pre>")
