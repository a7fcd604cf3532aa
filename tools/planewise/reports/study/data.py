"""The number of exams in the study, and a picture of one exam."""

from __future__ import annotations

from pathlib import Path

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page

_SPLITS = ("training", "validation", "test")


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>Data</h2><ul>")
    for kind in ("unlabelled", "labelled"):
        counts, with_label = exams_of(study, kind), exams_of(study, kind, with_label=True)
        if not counts:
            continue
        partly = {
            split: f" ({with_label[split]} with labels)" for split in counts if 0 < with_label[split] < counts[split]
        }
        text = ", ".join(f"{count} {split}{partly.get(split, '')}" for split, count in counts.items())
        page.add(f"<li>{kind} exams: {text}</li>")
    named = any("unlabelled" in (study.config.get(key) or {}) for key in ("datalists", "phantom"))
    if study.pretexts and not named:
        page.add("<li>pretraining learns from the same exams without labels, except the test exams</li>")
    page.add("</ul>")
    page.figure(study.path / "inspect.png", f"An exam: {study.anatomy.exam}.")


def exams_of(study: StudyFolder, kind: str, with_label: bool = False) -> dict[str, int]:
    """The number of exams in each section of a study's ``"unlabelled"`` or ``"labelled"`` datalist; empty if there is
    none.

    Args:
        study: the study.
        kind: the datalist.
        with_label: whether to count only exams with a mask or a grade.
    """
    given = (study.config.get("datalists") or {}).get(kind)
    content = read_json(Path(given) if given else study.path / f"{kind}.json")
    if content is None:
        return {}
    return {
        split: len(
            {
                item.get("exam")
                for item in content.get(split, [])
                if not with_label or "label" in item or "grade" in item
            }
        )
        for split in _SPLITS
    }
