"""A study's results as one HTML file."""

from __future__ import annotations

import html
from pathlib import Path

from planewise.errors import InputError
from planewise.reports.study import (
    classification,
    data,
    diagnosis,
    planning,
    pretexts,
    probe,
    provenance,
    segmentation,
)
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.page import Page, Table

#: In the page's order.
SECTIONS = (data, pretexts, probe, segmentation, classification, diagnosis, planning, provenance)


def write_study_report(study: str | Path, output: str | Path) -> list[Table]:
    """Gather a study's ``metrics.json``, ``history.csv`` and pictures into one page.

    Args:
        study: folder that `tools/studies/label_efficiency.smk` wrote.
        output: HTML file.

    Returns:
        The page's tables.

    Raises:
        InputError: there is no study in the folder, or the file cannot be written.
    """
    found, output = StudyFolder.read(Path(study)), Path(output)
    page = Page()
    kind = "phantom exams" if found.config.get("phantom") else "your own exams"
    page.add(f"<h1>Label efficiency on the {found.anatomy.organ}: {html.escape(found.title)}</h1>")
    page.add(
        f"<p class=warning>Numbers in black were measured here, on <b>{kind}</b>. Numbers in <i>grey italics</i> are "
        f"published ones, on patients ({found.anatomy.paper_data}), at full size: they show what to expect there, not what "
        "was repeated here. Research software, not for clinical use.</p>"
    )
    for section in SECTIONS:
        section.add(page, found)
    if papers := dict.fromkeys(row.paper for table in page.tables for row in table.rows if row.paper):
        entries = "".join(f"<li>{paper.name}: {html.escape(paper.citation)}</li>" for paper in papers)
        page.add(f"<h2>Papers</h2><ul>{entries}</ul>")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page.html(f"planewise: {found.title}"))
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror})") from None
    return page.tables
