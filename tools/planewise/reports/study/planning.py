"""Planes that the network planned for test exams without seeing the acquired views."""

from __future__ import annotations

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page

#: Number of exams shown.
_EXAMS = 3


def add(page: Page, study: StudyFolder) -> None:
    pictures = sorted((study.path / "plans").glob("*/plan.png"))
    if not pictures:
        return
    page.add(
        f"<h2>View planning from the {study.anatomy.stack} alone</h2><p>These are test exams; the network did not "
        f"see their {study.anatomy.views}. Dashed lines show the planes fitted over the stack.</p>"
    )
    for number, picture in enumerate(pictures[:_EXAMS]):
        plan = read_json(picture.with_name("plan.json")) or {"views": {}}
        verdicts = "; ".join(f"{name}: {view['verdict']}" for name, view in plan["views"].items())
        page.figure(picture, f"Exam {picture.parent.name}. {verdicts}.", main=number == 0, lead=number == 0)
