"""The exams of a study, and what ran."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.files import datalists as sections
from planewise.files.datalists import SECTIONS
from planewise.files.shared_patients import seen_before
from planewise.workshop.study.folder import StudyFolder, read_json
from planewise.workshop.study.page import Page


def add_data(page: Page, study: StudyFolder) -> None:
    """Add the number of exams, whether pretexts learned from test images, and a picture of one exam."""
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
        seen = seen_before(lists["unlabelled"], lists["labelled"], read=True)
        if seen:
            page.add(
                "<li><b>{}, so the pretexts learned from test images, and their gains may be too large</b></li>", seen
            )
        else:
            page.add("<li>no image of the labelled test exams was found among those that pretexts learned from</li>")
    page.add("</ul>")
    page.figure(study.path / "inspect.png", f"An exam: {study.anatomy.exam}.")


def add_provenance(page: Page, study: StudyFolder) -> None:
    """Add versions, commits, devices and the study's settings."""
    page.add("<h2>What ran</h2>")
    if runs := run_records(study.path):
        packages = ", ".join(f"{name} {number}" for name, number in runs[0]["packages"].items() if number)
        commits = dict.fromkeys(str(run["commit"]) for run in runs if "commit" in run)
        where = [", ".join(values) for values in (devices(runs), precisions(runs)) if values]
        page.note(
            "{}; Python {}; commit {}; trained on {}. A commit that ends in -dirty had changes that were not committed.",
            packages,
            runs[0]["python"],
            ", ".join(commits),
            "; ".join(where) or "a device that is not recorded",
        )
    page.add("<pre>{}</pre>", json.dumps(_without_folders(study.config), indent=1))


def run_records(study: Path) -> list[dict[str, Any]]:
    """The records of a study's runs, in the order of their folders; a broken record is left out."""
    found = []
    for path in sorted(study.glob("*/**/run.json")):
        with suppress(InputError):
            found.append(read_json(path))
    return [record for record in found if record]


def devices(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The processors and GPUs of runs that recorded them."""
    return sorted({name for run in runs for name in run.get("devices", [])})


def precisions(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The precisions of runs that recorded one."""
    return sorted({run["precision"] for run in runs if run.get("precision")})


def _without_folders(value: Any) -> Any:
    """The settings with only the names of files and folders, because a page is passed on, and paths contain names of people
    and machines. Of a text with a path and more, nothing is left."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    return "..." if " " in value else f".../{value.rpartition('/')[2]}"
