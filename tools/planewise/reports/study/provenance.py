"""Provenance of a study's results: versions, commit and configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page

#: The path of a file or folder, absolute or with ``~``, in a text: quoted, or up to a space or the end of a list.
_PATH = re.compile(
    r"""(?<![^\s=,:;'"(\[{])(?:(?<=')(?=[~/][^']*')(?:~[\w.-]*)?/[^']+"""
    r"""|(?<=")(?=[~/][^"]*")(?:~[\w.-]*)?/[^"]+"""
    r"""|(?:file://|~[\w.-]*)?/(?!/)(?:\\.|[^\s'",;:()\[\]{}])+)"""
)


def add(page: Page, study: StudyFolder) -> None:
    page.add("<h2>What ran</h2>")
    if runs := run_records(study.path):
        packages = ", ".join(f"{name} {number}" for name, number in runs[0]["packages"].items() if number)
        commit = runs[0]["commit"]
        dirty = " (-dirty: its code had changes that were not committed)" if str(commit).endswith("-dirty") else ""
        page.add("<p class=note>{}; Python {}; commit {}{}.</p>", packages, runs[0]["python"], commit, dirty)
        if len(commits := dict.fromkeys(str(run["commit"]) for run in runs if "commit" in run)) > 1:
            page.add("<p class=note>Trainings may have run different code; their commits: {}.</p>", ", ".join(commits))
        where = [", ".join(values) for values in (devices(runs), precisions(runs)) if values]
        if where:
            page.add("<p class=note>Trained on: {}.</p>", "; ".join(where))
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
    and machines."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if not isinstance(value, str):
        return value
    if Path(value).is_absolute() or re.match(r"~[\w.-]*/", value):
        return f".../{Path(value).name}"
    # options and expressions contain paths, too
    return _PATH.sub(lambda found: f".../{Path(found[0]).name}", value)
