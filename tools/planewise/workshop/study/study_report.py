"""A study's results as one HTML file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from planewise.files.atomic_write import atomic_write
from planewise.reports.tables import nested_numbers, write_csv
from planewise.workshop.study.folder import StudyFolder, read_json
from planewise.workshop.study.page import Page, Table, filled
from planewise.workshop.study.sections import add_data, add_diagnosis, add_pretexts, add_provenance, add_starts
from planewise.workshop.study.tasks import add_tasks

#: Tables of a fine-tuning's test cases.
_CASES = ("volumes.csv", "predictions.csv")
#: Sections in the page's order.
SECTIONS = (add_data, add_starts, add_pretexts, add_tasks, add_diagnosis, add_provenance)


def write_study_report(study: str | Path, output: str | Path) -> list[Table]:
    """Gather a study's scores into one page, and write tables next to it: ``scores.csv``, the scores of each test case of
    each fine-tuning, ``runs.csv``, those of each fine-tuning, and ``differences.csv``, the paired differences.

    Args:
        study: folder that `tools/studies/label_efficiency.smk` wrote.
        output: HTML file to write.

    Returns:
        The page's tables.

    Raises:
        InputError: there is no study in the folder, or a file cannot be written.
    """
    found, output = StudyFolder.read(Path(study).expanduser()), Path(output).expanduser()
    page = Page()
    for section in SECTIONS:
        section(page, found)
    kind = "phantom exams" if found.config.get("phantom") else "the exams of the study's datalists"
    kind = f"real patients ({found.config['patients'].upper()})" if found.config.get("patients") else kind
    done = [f"Pretraining: {'; '.join(map(found.called, found.pretexts))}."] if found.pretexts else []
    results = [(path / "test" / "metrics.json").is_file() for _, count, _, path in found.runs("finetune") if count]
    page.head[:0] = [
        filled("<h1>Label efficiency: {}</h1>", found.title),
        filled("<p>{}</p>", " ".join([*done, f"{sum(results)} of {len(results)} fine-tunings have a result."])),
        f"<p class=warning>These numbers were measured on <b>{kind}</b>. Research software, not for clinical use.</p>",
    ]
    of_runs, of_cases = _scores(found)
    for name, rows in {"scores.csv": of_cases, "runs.csv": of_runs, "differences.csv": page.differences}.items():
        if rows:
            columns = dict.fromkeys(key for row in rows for key in row)
            write_csv(output.with_name(name), {column: [row.get(column) for row in rows] for column in columns})
    with atomic_write(output) as part:
        part.write_text(page.html(f"planewise: {found.title}"), encoding="utf-8")
    return page.tables


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
