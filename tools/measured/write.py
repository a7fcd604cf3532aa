"""Write the tables of results into the documents: README, tools/docs/results.md and the bundles' pages.

    python tools/measured/write.py --from work/heart heart   # record a finished study in tools/measured/heart.json
    python tools/measured/write.py --run pretext_rotation    # run a README's phantom commands, and record their scores
    python tools/measured/write.py                           # write the tables of all records into the documents
    python tools/measured/write.py --check                   # change nothing; list the files that differ, and fail

``tables.yaml`` lists the tables. Each stands between two marks in its files and is replaced as a whole::

    <!-- tools/demo comparison: written by tools/measured/write.py; do not edit -->
    <!-- end of what is written -->

Tables of a study's page, even if the study has not run yet::

    - study: comparison
      files: [tools/docs/results.md]
      tables: [Dice]

A table of chosen rows. A field, ``{PATH|FORMAT}``, is a path into the record and a format; a path may lead to a cell of a
table on the study's page, by title, row and column. The field takes the cell's first number; if the path ends in ``/sd``, it
takes the second number, which is in brackets. A bundle whose weights ship may stand in place of a study
(``study: BUNDLE``): its record is ``models/record.json``. ``study: readmes/BUNDLE`` is the record of ``--run``. The mark
counts a file's tables::

    - study: heart
      files: [bundles/pretext_cardiac_location/docs/README.md]
      rows: ["| | MAE |", "|---|--:|", "| phantoms | {pretrain/location/location/mae|.4f} |"]

    <!-- scores 1: written by tools/measured/write.py; do not edit -->

A study's gains over training from scratch (`gains.py`) become a headline and a table; those of all studies become a count of
verdicts. A study with `files: []` is left out of them; the bundles' pages have its gains::

    - study: comparison
      files: [tools/docs/results.md]
      gains: {title: "Hearts, segmentation", score: mean Dice, unit: labelled exams, table: Paired differences in mean Dice}
    - all_gains: true
      files: [tools/docs/results.md]
    - methods: [rotation, "rotation (2D)"]     # a table of these methods' gains in the studies under `of`
      of: [volumes, retinopathy]
      files: [bundles/pretext_rotation/docs/README.md]

The mean scores of a study's main methods are a small table, in which what the study has not measured yet is "-"::

    - study: acdc
      files: [README.md]
      scores:
        table: Dice
        head: mean Dice by labelled patients
        columns: {"4": [4, ""], "4, four times the steps": [4, ", four times the steps"]}
        rows: {from scratch: [from scratch], after location: [location]}

The README's table of bundles, and their number, come from the ``group`` and the ``summary`` that each ``metadata.json``
declares under ``planewise``; several bundles may share a summary. New bundles, of version 0.0.x, are left out until
they are released::

    - bundles: bundles
      files: [README.md]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from tools.benchmarks.page import with_block  # noqa: E402
from tools.measured import gains, phantom_commands  # noqa: E402
from tools.measured.scores import score_table  # noqa: E402

#: Marker line above the number of verdicts, over all studies.
ALL_GAINS = "<!-- all gains: written by tools/measured/write.py; do not edit -->"
#: Marks before the table of bundles, before a study's scores, and before a table of the gains of some methods.
BUNDLES = "<!-- bundles: written by tools/measured/write.py; do not edit -->"
SCORES = "<!-- scores: written by tools/measured/write.py; do not edit -->"
METHODS = "<!-- gains: written by tools/measured/write.py; do not edit -->"
#: Mark before one of a file's tables of chosen rows.
ROWS = "<!-- scores {number}: written by tools/measured/write.py; do not edit -->"
#: Mark before the tables of a study.
BEGIN = "<!-- tools/demo {study}: written by tools/measured/write.py; do not edit -->"

_FIELD = re.compile(r"\{([^{}|]+)\|([^{}]+)\}")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def recorded(study: Path) -> dict[str, Any]:
    """The record of a finished study: the scores of its pretexts, and the tables of its page.

    Raises:
        InputError: the folder contains no study.
    """
    from planewise.workshop.study.data import devices, precisions, run_records
    from planewise.workshop.study.folder import StudyFolder, read_json
    from planewise.workshop.study.study_report import write_study_report

    found = StudyFolder.read(study)
    pretrain = {name: read_json(study / "pretrain" / name / "test" / "metrics.json") for name in found.pretexts}
    tables = {}
    for table in write_study_report(study, study / "report" / "index.html"):
        rows = [row.cells for row in table.rows]
        tables[table.title] = {
            ", ".join(cells[: _naming(table.header)]): dict(zip(table.header, cells, strict=True)) for cells in rows
        }
    runs = run_records(study)
    what = {key: run[key] for run in runs[:1] for key in ("commit", "packages", "python") if key in run}
    what |= {"devices": devices(runs), "precision": ", ".join(precisions(runs))}
    return {"made_by": what, "pretrain": pretrain, "tables": tables}


def as_text(record: Mapping[str, Any]) -> str:
    """A record as JSON with a line for each row of a table; `from_text` reads it."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    def block(entries: Mapping[str, str]) -> str:
        return "{\n" + ",\n".join(f"{line(key)}: {text}" for key, text in entries.items()) + "\n}"

    tables = {}
    for title, rows in record["tables"].items():
        header = list(next(iter(rows.values()), {}))
        lines = [line(header), *(line(list(row.values())) for row in rows.values())]
        tables[title] = "[\n" + ",\n".join(lines) + "]"
    pretrain = {name: line(scores) for name, scores in record["pretrain"].items()}
    parts = {"made_by": line(record["made_by"]), "pretrain": block(pretrain), "tables": block(tables)}
    return block(parts) + "\n"


def from_text(text: str) -> dict[str, Any]:
    """The record that `as_text` wrote."""
    record = json.loads(text)
    for title, (header, *rows) in record["tables"].items():
        count = _naming(header)
        record["tables"][title] = {", ".join(row[:count]): dict(zip(header, row, strict=True)) for row in rows}
    return record


def _naming(header: list[str]) -> int:
    """Number of columns that name a row: two if a pretext has a row for each view, otherwise one."""
    return 2 if "view" in header else 1


def value_of(record: Mapping[str, Any], path: str) -> float:
    """Look up a number in a record.

    Raises:
        ValueError: the path does not exist, or does not lead to a number; the message says where it ends.
    """
    value: Any = record
    steps = path.split("/")
    for number, step in enumerate(steps):
        if step == "sd" and isinstance(value, str) and number == len(steps) - 1:
            value = value.partition("(")[2]
            continue
        if not isinstance(value, Mapping) or step not in value:
            there = ", ".join(map(str, value)) if isinstance(value, Mapping) else repr(value)
            raise ValueError(f"{path} ends at {step}; there is {there}")
        value = value[step]
    first = _NUMBER.search(value) if isinstance(value, str) else None
    if first:
        return float(first[0])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{path} is {value!r}, not a number")
    return float(value)


def rows_as_markdown(rows: list[str], record: Mapping[str, Any]) -> str:
    """The rows of a table in which each field is replaced by the record's number.

    Raises:
        ValueError: see `value_of`.
    """
    return "\n".join(_FIELD.sub(lambda field: format(value_of(record, field[1]), field[2]), row) for row in rows) + "\n"


def tables_as_markdown(study: str, titles: list[str], record: Mapping[str, Any]) -> str:
    """Tables of a study's page as Markdown.

    Raises:
        ValueError: the page has no such table.
    """
    lines = []
    for title in titles:
        if title not in record["tables"]:
            raise ValueError(f"{study} has no table {title}; it has {', '.join(record['tables'])}")
        rows = list(record["tables"][title].values())
        header = list(rows[0])
        lines += [f"{title}:", "", f"| {' | '.join(header)} |", "|---|" + "--:|" * (len(header) - 1)]
        lines += [f"| {' | '.join(row.values())} |" for row in rows] + [""]
    return "\n".join(lines)


def documents(
    texts: list[dict[str, Any]], records: Mapping[str, Mapping[str, Any]], root: Path = ROOT
) -> dict[Path, str]:
    """The new text of every file with measured numbers, in which the tables are those of the records.

    Raises:
        ValueError: the errors of the functions above and of `with_block`, preceded by the file's name.
    """
    wanted: dict[Path, str] = {}
    tables_of: Counter[Path] = Counter()
    for entry in texts:
        for file in entry["files"]:
            path = root / file
            tables_of[path] += "rows" in entry
            try:
                mark, block = block_of(entry, texts, records, root)
                document = with_block(wanted.get(path) or path.read_text(), mark.format(number=tables_of[path]), block)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from None
            if "bundles" in entry:
                count = len(released_bundles(root / entry["bundles"]))
                document = re.sub(r"(?<=collection of )\d+(?= )", str(count), document)
            wanted[path] = document
    return wanted


def block_of(
    entry: Mapping[str, Any], texts: list[dict[str, Any]], records: Mapping[str, Mapping[str, Any]], root: Path
) -> tuple[str, str]:
    """The mark and the text of an entry of ``tables.yaml``.

    Raises:
        ValueError: see the functions above and `gains.Study.of`.
    """
    study = entry.get("study", "")
    record = records.get(study)
    if "bundles" in entry:
        folder = entry["bundles"]
        return BUNDLES, bundle_table(released_bundles(root / folder), folder)
    if "all_gains" in entry:
        return ALL_GAINS, gains.verdicts_in_all(shown_gains(texts, records))
    if "methods" in entry:
        chosen = [found for name, found in all_gains(texts, records).items() if name in entry["of"]]
        return METHODS, gains.of_methods(chosen, entry["methods"])
    if "scores" in entry:
        return SCORES, score_table(record, entry["scores"])
    if "rows" in entry:
        return ROWS, rows_as_markdown(entry["rows"], records[study])
    if record is None:
        return BEGIN.replace("{study}", study), f"`tools/demo {study}` has not been measured yet.\n"
    if "gains" in entry:
        found = gains.Study.of(record, entry["gains"])
        return BEGIN.replace("{study}", study), f"{found.headline()}\n\n{found.table()}"
    return BEGIN.replace("{study}", study), tables_as_markdown(study, entry["tables"], record)


#: Groups of bundles in the README's order.
GROUPS = ("pretexts that read planes", "pretexts for any images", "segmentation", "classification")


def released_bundles(folder: Path) -> dict[str, dict[str, Any]]:
    """Name and metadata of every bundle in a folder, except the new ones, of version 0.0.x."""
    files = {path.parents[1].name: path for path in sorted(folder.glob("*/configs/metadata.json"))}
    found = {name: json.loads(path.read_text()) for name, path in files.items()}
    return {name: metadata for name, metadata in found.items() if not metadata["version"].startswith("0.0.")}


def bundle_table(bundles: Mapping[str, Mapping[str, Any]], folder: str) -> str:
    """The README's table of bundles; bundles of one group with the same summary share a row.

    Args:
        bundles: maps the name of each bundle to its metadata.
        folder: path of the bundles from the README.

    Raises:
        ValueError: a bundle declares no summary, or its group is not in `GROUPS`.
    """
    rows: dict[str, dict[str, list[str]]] = {group: {} for group in GROUPS}
    for name, metadata in bundles.items():
        declared = metadata.get("planewise", {})
        if declared.get("group") not in GROUPS or "summary" not in declared:
            raise ValueError(
                f"{name}: its metadata.json needs a summary, and a group of {', '.join(GROUPS)}, under planewise"
            )
        link = f"[`{name}`]({folder}/{name}/docs/README.md)"
        rows[declared["group"]].setdefault(declared["summary"], []).append(link)
    lines = ["| bundle | what it learns or predicts |", "|---|---|"]
    for group, found in rows.items():
        lines += [f"| **{group}** | |", *(f"| {', '.join(links)} | {text} |" for text, links in found.items())]
    return "\n".join(lines)


def shown_gains(texts: list[dict[str, Any]], records: Mapping[str, Mapping[str, Any]]) -> list[gains.Study]:
    """The gains of the studies whose entries name a file, in the order of the entries."""
    shown = [entry for entry in texts if entry["files"]]
    return [*all_gains(shown, records).values()]


def all_gains(texts: list[dict[str, Any]], records: Mapping[str, Mapping[str, Any]]) -> dict[str, gains.Study]:
    """The gains of every recorded study with an entry for them, by the name of its record, in the order of the entries.

    Raises:
        ValueError: see `gains.Study.of`.
    """
    return {
        entry["study"]: gains.Study.of(records[entry["study"]], entry["gains"])
        for entry in texts
        if "gains" in entry and entry["study"] in records
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a table differs")
    parser.add_argument(
        "--from", dest="study", nargs=2, metavar=("FOLDER", "NAME"), help="record the numbers of a finished study"
    )
    parser.add_argument(
        "--run",
        nargs="+",
        metavar="BUNDLE",
        help="run the phantom commands of bundles' READMEs, and record their scores",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "work/readmes", help="folder for the runs of --run")
    options = parser.parse_args(arguments)
    for bundle in options.run or ():
        text = phantom_commands.as_text(phantom_commands.measure(bundle, options.out.absolute()))
        (HERE / "readmes").mkdir(exist_ok=True)
        (HERE / "readmes" / f"{bundle}.json").write_text(text)
        print(f"recorded: tools/measured/readmes/{bundle}.json; run without --run to write the documents", flush=True)
    if options.run:
        return 0
    if options.study:
        folder, name = options.study
        (HERE / f"{name}.json").write_text(as_text(recorded(Path(folder))))
        print(f"recorded: tools/measured/{name}.json; now run without --from to write the documents")
        return 0
    records = {path.stem: from_text(path.read_text()) for path in HERE.glob("*.json")}
    records |= {f"readmes/{path.stem}": json.loads(path.read_text()) for path in HERE.glob("readmes/*.json")}
    records |= {path.parts[-3]: json.loads(path.read_text()) for path in ROOT.glob("bundles/*/models/record.json")}
    texts = yaml.safe_load((HERE / "tables.yaml").read_text())
    try:
        wanted = documents(texts, records)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    changed = [path for path, text in wanted.items() if path.read_text() != text]
    for path in changed:
        if not options.check:
            path.write_text(wanted[path])
        print(f"{'differs' if options.check else 'written'}: {path.relative_to(ROOT)}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
