"""The number of exams in the study, and a picture of one exam."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from planewise.exams import sections
from planewise.exams.shared_patients import CHECKSUMS, seen_before
from planewise.exams.split import SECTIONS
from planewise.exams.words import listed
from planewise.reports.study.folder import StudyFolder
from planewise.reports.study.page import Page


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>Data</h2><ul>")
    lists = {kind: study.datalist(kind) for kind in ("unlabelled", "labelled")}
    one = lists["unlabelled"] == lists["labelled"]
    for kind, path in lists.items():
        if not path.is_file() or (one and kind == "unlabelled"):
            continue
        content, texts = sections.parsed_datalist(path), []
        for split in SECTIONS:
            count, known = (sections.exams_in(content, split, labelled=labelled) for labelled in (False, True))
            texts.append(f"{count} {split}" + (f" ({known} with labels)" if 0 < known < count else ""))
        page.add(f"<li>{kind} exams: {', '.join(texts)}</li>")
    if study.pretexts and one:
        page.add("<li>pretraining learns from the same exams without labels, except the test exams</li>")
    elif study.pretexts and all(path.is_file() for path in lists.values()):
        # say whether pretexts learned from test images
        if seen := seen_before(lists["unlabelled"], lists["labelled"], read=study.path / CHECKSUMS):
            said = "<b>{}, so the pretexts learned from test images, and their gains may be too large</b>"
        else:
            said = (
                "no image of the labelled test exams is in the training or validation section of the unlabelled exams "
                "(compared: the patients and SOPInstanceUIDs of DICOM files, paths, and the bytes of other files; copies "
                "that were saved again are not recognised)"
            )
        page.add(f"<li>{said}</li>", *[seen] * bool(seen))
    page.add("</ul>")
    page.figure(study.path / "inspect.png", f"An exam: {study.anatomy.exam}.")


def labelled_exams(study: StudyFolder) -> int:
    """The number of labelled exams in a study's training section; if none has a label, the number of all its exams. 0
    without a datalist."""
    path = study.datalist("labelled")
    return sections.labelled_exams(sections.parsed_datalist(path), "training") if path.is_file() else 0


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
    return [] if study.has_folds else sections.takes_all(counts, labelled_exams(study))
