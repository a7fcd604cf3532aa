"""The number of exams in the study, and a picture of one exam."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page

_SPLITS = ("training", "validation", "test")


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>Data</h2><ul>")
    for kind in ("unlabelled", "labelled"):
        content = _datalist(study, kind)
        if content is None:
            continue
        counts, with_label = _exams(content), _exams(content, with_label=True)
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


def exams_of(study: StudyFolder, kind: str) -> dict[str, int]:
    """The number of exams in each section of a study's ``"unlabelled"`` or ``"labelled"`` datalist; empty if there is
    none."""
    content = _datalist(study, kind)
    return {} if content is None else _exams(content)


def add_draws_of_all(page: Page, study: StudyFolder, draws: Mapping[tuple[str, int], Collection[int]]) -> None:
    """Add a note if draws take every labelled exam, so that they differ only in their seed.

    Args:
        page: the page to add to.
        study: the study.
        draws: the draws of each method and number of labelled exams.
    """
    content = _datalist(study, "labelled")
    if content is None:
        return
    most = _exams(content, with_label=True)["training"] or _exams(content)["training"]
    if any(count >= most and len(numbers) > 1 for (_, count), numbers in draws.items()):
        page.add(
            "<p class=note>With {}, each draw takes all labelled exams of the training section. Draws have the same exams "
            "and differ only in the seed of the training, so they do not show how much the choice of exams matters.</p>",
            most,
        )


def _datalist(study: StudyFolder, kind: str) -> dict[str, Any] | None:
    given = (study.config.get("datalists") or {}).get(kind)
    return read_json(Path(given) if given else study.path / f"{kind}.json")


def _exams(content: Mapping[str, Any], with_label: bool = False) -> dict[str, int]:
    """The number of exams in each section of a datalist, or only of those with a mask or a grade."""
    exams = {
        split: {
            item.get("exam") for item in content.get(split, []) if not with_label or item.keys() & {"label", "grade"}
        }
        for split in _SPLITS
    }
    return {split: len(found) for split, found in exams.items()}
