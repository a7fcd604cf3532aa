"""The number of exams in the study, and a picture of one exam."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from planewise.exams.shared_patients import seen_before
from planewise.exams.words import listed
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
    elif study.pretexts:
        _add_seen(page, *(_path(study, kind) for kind in ("unlabelled", "labelled")))
    page.add("</ul>")
    page.figure(study.path / "inspect.png", f"An exam: {study.anatomy.exam}.")


def labelled_exams(study: StudyFolder) -> int:
    """The number of labelled exams in a study's training section; if none has a mask or a grade, the number of all its exams.
    0 without a datalist."""
    content = _datalist(study, "labelled")
    return 0 if content is None else _exams(content, with_label=True)["training"] or _exams(content)["training"]


def drawn_in_words(study: StudyFolder, draws: Mapping[tuple[str, int], Collection[int]]) -> str:
    """How draws select labelled exams, in sentences; if they take every exam, they differ only in their seed.

    Args:
        study: the study.
        draws: the draws of each method and number of labelled exams.
    """
    selects = f"Each draw selects {study.labelled}s at random, the same for all methods"
    numbers = {count for (_, count), of_count in draws.items() if len(of_count) > 1}
    if not (whole := takes_all(study, numbers)):
        return f"{selects}."
    noun = study.labelled.split()[-1]
    return (
        f"{selects}, except with {listed(map(str, whole))}: there, each draw takes all {study.labelled}s of the training "
        "section. These draws differ only in the seed of the training, so they do not show how much the choice of "
        f"{noun}s matters."
    )


def takes_all(study: StudyFolder, counts: Iterable[int]) -> list[int]:
    """The numbers of labelled exams with which a draw takes every labelled exam of the training section, ascending;
    none if draws are folds, which differ in their exams."""
    most = labelled_exams(study)
    if not most or study.has_folds:
        return []
    return sorted(count for count in counts if count >= most)


def _add_seen(page: Page, unlabelled: Path, labelled: Path) -> None:
    """Say whether pretexts learned from test images."""
    if not (unlabelled.is_file() and labelled.is_file()):
        return
    if seen := seen_before(unlabelled, labelled, read=True):
        page.add("<li><b>{}, so the pretexts learned from test images, and their gains may be too large</b></li>", seen)
    else:
        page.add(
            "<li>no image of the labelled test exams is in the training or validation section of the unlabelled exams</li>"
        )


def _path(study: StudyFolder, kind: str) -> Path:
    given = (study.config.get("datalists") or {}).get(kind)
    return Path(given) if given else study.path / f"{kind}.json"


def _datalist(study: StudyFolder, kind: str) -> dict[str, Any] | None:
    return read_json(_path(study, kind))


def _exams(content: Mapping[str, Any], with_label: bool = False) -> dict[str, int]:
    """The number of exams in each section of a datalist, or only of those with a mask or a grade."""
    exams = {
        split: {
            item.get("exam") for item in content.get(split, []) if not with_label or item.keys() & {"label", "grade"}
        }
        for split in _SPLITS
    }
    return {split: len(found) for split, found in exams.items()}
