"""A study's results as one HTML file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from planewise.files.atomic_write import atomic_write
from planewise.reports.tables import nested_numbers, write_columns
from planewise.workshop.study.folder import StudyFolder, read_json
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.page import Page, Table, filled
from planewise.workshop.study.sections import (
    add_data,
    add_diagnosis,
    add_label_probe,
    add_pretexts,
    add_provenance,
)
from planewise.workshop.study.starts import add_starts
from planewise.workshop.study.tasks import add_tasks

#: Tables of a fine-tuning's test cases.
_CASES = ("volumes.csv", "predictions.csv")
#: Sections in the page's order.
SECTIONS = (add_data, add_starts, add_pretexts, add_tasks, add_label_probe, add_diagnosis, add_provenance)


def write_study_report(study: str | Path, output: str | Path) -> list[Table]:
    """Gather a study's ``metrics.json``, ``history.csv`` and pictures into one page, and its numbers into tables next
    to it: ``scores.csv``, the scores of each test case of each fine-tuning, ``runs.csv``, the scores of each
    fine-tuning, and ``differences.csv``, the paired differences (``NAME_scores.csv`` and so on for a page that is not
    ``index.html``).

    Args:
        study: folder that `tools/studies/label_efficiency.smk` wrote.
        output: HTML file to write.

    Returns:
        The page's tables.

    Raises:
        InputError: there is no study in the folder, or a file cannot be written; then all files stay unchanged.
    """
    found, output = StudyFolder.read(Path(study).expanduser()), Path(output).expanduser()
    page = _page_of(found)
    written = {output: page.html(f"planewise: {found.title}").encode()}
    # a page of another name has tables of its own, so that two pages in one folder do not share them
    prefix = "" if output.stem == "index" else f"{output.stem}_"
    of_runs, of_cases = _scores(found)
    for name, rows in {"scores.csv": of_cases, "runs.csv": of_runs, "differences.csv": page.differences}.items():
        if rows:
            written[output.with_name(prefix + name)] = _as_csv(rows).encode()
    # no file replaces its old version until all are on disk
    with ExitStack() as files:
        for path, content in written.items():
            files.enter_context(atomic_write(path, ending=path.suffix)).write_bytes(content)
    return page.tables


def _page_of(study: StudyFolder) -> Page:
    """The page, with all sections."""
    page = Page(not study.has_patients, study.labelled)
    for section in SECTIONS:
        section(page, study)
    kind = "phantom exams" if study.config.get("phantom") else "the exams of the study's datalists"
    kind = f"real patients ({study.config['patients'].upper()})" if study.has_patients else kind
    page.head[:0] = [
        filled("<h1>Label efficiency: {}</h1>", study.title),
        filled("<p>{}</p>", _what_was_done(study)),
        f"<p class=warning>These numbers were measured on <b>{kind}</b>. Research software, not for clinical use.</p>",
    ]
    return page


def _what_was_done(study: StudyFolder) -> str:
    """What was pretrained, and how many fine-tunings have a result."""
    done = [f"Pretraining: {'; '.join(map(method_name, study.pretexts))}."] if study.pretexts else []
    if runs := [run for run in study.runs("finetune") if run[1]]:
        methods = "; ".join(method_name(method) for method in dict.fromkeys(run[0] for run in runs))
        counts = ", ".join(map(str, sorted({run[1] for run in runs})))
        finished = sum((path / "test" / "metrics.json").is_file() for *_, path in runs)
        done.append(f"Fine-tuning with {counts} {study.labelled}s: {methods}; {finished} of {len(runs)} have a result.")
    return " ".join(done) or "No training has finished yet."


def _scores(study: StudyFolder) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The numbers in ``metrics.json`` of each fine-tuning, and the scores of each of its test cases, after its method,
    number of labelled exams and draw."""
    runs: list[dict[str, Any]] = []
    cases: list[dict[str, Any]] = []
    for method, count, draw, folder in study.runs("finetune"):
        which: dict[str, Any] = {"method": method, "labelled_exams": count, "draw": draw}
        if content := read_json(folder / "test" / "metrics.json"):
            runs.append(which | nested_numbers(content))
        for file in filter(Path.is_file, (folder / "test" / name for name in _CASES)):
            with file.open(newline="", errors="replace") as lines:
                cases += [which | row for row in csv.DictReader(lines)]
    return runs, cases


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, with a column for each key of any row."""
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO(newline="")
    write_columns(text, {column: [row.get(column) for row in rows] for column in columns})
    return text.getvalue()
