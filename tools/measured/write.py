"""Write the tables of results into the documents: README, tools/docs/results.md and the bundles' pages.

    python tools/measured/write.py --from work/heart heart   # record a finished study in tools/measured/heart.json
    python tools/measured/write.py --run pretext_rotation    # run a README's phantom commands, and record their scores
    python tools/measured/write.py                           # write the tables of all records into the documents
    python tools/measured/write.py --check                   # change nothing; list the files that differ, and fail

``tables.yaml`` lists the tables. Each stands between two marks in its ``files`` and is replaced as a whole::

    <!-- tools/demo comparison: written by tools/measured/write.py; do not edit -->
    <!-- end of what is written -->

An entry has one of these keys; the mark is ``tools/demo STUDY`` or stands in brackets:

- ``tables``: titles of tables of the study's page.
- ``rows`` (``scores N``, the number of the table in its file): a table of chosen rows. A field, ``{PATH|FORMAT}``, is a path
  into the record and a format; a path may lead to a cell of a table on the study's page, by title, row and column. The
  field takes the cell's first number; if the path ends in ``/sd``, the second one, which is in brackets. ``study`` may
  also be a bundle whose weights ship (``models/record.json``), or ``readmes/BUNDLE`` (the record of ``--run``).
- ``scores`` (``scores``), ``gains``: see `gains.score_table` and `gains.Study.of`. A study with ``files: []`` is left out
  of the count of verdicts of all studies, ``all_gains`` (``all gains``).
- ``methods`` (``gains``): the gains of these methods in the studies under ``of``.
- ``bundles`` (``bundles``): the README's table of bundles, and their number, from the ``group`` and the ``summary`` that
  each ``metadata.json`` declares under ``planewise``. New bundles, of version 0.0.x, are left out until they are released.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from tools.benchmarks.page import with_block  # noqa: E402
from tools.measured import gains  # noqa: E402

_FIELD = re.compile(r"\{([^{}|]+)\|([^{}]+)\}")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
#: Groups of bundles in the README's order.
GROUPS = ("pretexts that read planes", "pretexts for any images", "segmentation", "classification")

Records = Mapping[str, Mapping[str, Any]]


def mark_of(name: str) -> str:
    """The mark before a table."""
    return f"<!-- {name}: written by tools/measured/write.py; do not edit -->"


def recorded(study: Path) -> dict[str, Any]:
    """The record of a finished study: the scores of its pretexts, and the tables of its page.

    Raises:
        InputError: the folder contains no study.
    """
    from planewise.workshop.study.folder import StudyFolder, read_json
    from planewise.workshop.study.sections import devices_and_precisions, run_records
    from planewise.workshop.study.study_report import write_study_report

    pretexts = StudyFolder.read(study).pretexts
    pretrain = {name: read_json(study / "pretrain" / name / "test" / "metrics.json") for name in pretexts}
    tables = {
        table.title: {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
        for table in write_study_report(study, study / "report" / "index.html")
    }
    runs = run_records(study)
    what = {key: run[key] for run in runs[:1] for key in ("commit", "packages", "python") if key in run}
    devices, precisions = devices_and_precisions(runs)
    what |= {"devices": devices, "precision": ", ".join(precisions)}
    return {"made_by": what, "pretrain": pretrain, "tables": tables}


def as_text(record: Mapping[str, Any]) -> str:
    """A record as JSON with a line for each row of a table; `from_text` reads it."""

    def block(entries: Mapping[str, str]) -> str:
        return "{\n" + ",\n".join(f"{line(key)}: {text}" for key, text in entries.items()) + "\n}"

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    tables = {}
    for title, rows in record["tables"].items():
        lines = [list(next(iter(rows.values()), {})), *(list(row.values()) for row in rows.values())]
        tables[title] = "[\n" + ",\n".join(map(line, lines)) + "]"
    pretrain = {name: line(scores) for name, scores in record["pretrain"].items()}
    parts = {"made_by": line(record["made_by"]), "pretrain": block(pretrain), "tables": block(tables)}
    return block(parts) + "\n"


def from_text(text: str) -> dict[str, Any]:
    """The record that `as_text` wrote."""
    record = json.loads(text)
    for title, (header, *rows) in record["tables"].items():
        record["tables"][title] = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    return record


def value_of(record: Mapping[str, Any], path: str) -> float:
    """Look up a number in a record.

    Raises:
        ValueError: the path does not exist, or does not lead to a number; the message says where it ends.
    """
    value: Any = record
    for step in path.split("/"):
        if step == "sd" and isinstance(value, str):
            value = value.partition("(")[2]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            there = ", ".join(map(str, value)) if isinstance(value, Mapping) else repr(value)
            raise ValueError(f"{path} ends at {step}; there is {there}")
    if isinstance(value, str):
        found = _NUMBER.search(value)
        value = float(found[0]) if found else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{path} is {value!r}, not a number")
    return float(value)


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
        lines += [f"{title}:", "", f"| {' | '.join(rows[0])} |", "|---|" + "--:|" * (len(rows[0]) - 1)]
        lines += [f"| {' | '.join(row.values())} |" for row in rows] + [""]
    return "\n".join(lines)


def documents(texts: list[dict[str, Any]], records: Records, root: Path = ROOT) -> dict[Path, str]:
    """The new text of every file with measured numbers, in which the tables are those of the records.

    Raises:
        ValueError: the errors of the functions here, of `gains` and of `with_block`, preceded by the file's name.
    """
    wanted: dict[Path, str] = {}
    tables_of: Counter[Path] = Counter()
    for entry in texts:
        for file in entry["files"]:
            path = root / file
            tables_of[path] += "rows" in entry
            try:
                name, block = block_of(entry, texts, records, root)
                mark = mark_of(name.format(number=tables_of[path]))
                document = with_block(wanted.get(path) or path.read_text(), mark, block)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from None
            if "bundles" in entry:
                count = len(released_bundles(root / entry["bundles"]))
                document = re.sub(r"(?<=collection of )\d+(?= )", str(count), document)
            wanted[path] = document
    return wanted


def block_of(entry: Mapping[str, Any], texts: list[dict[str, Any]], records: Records, root: Path) -> tuple[str, str]:
    """The name in the mark of an entry of ``tables.yaml``, and its text."""
    study = entry.get("study", "")
    record = records.get(study)
    if "bundles" in entry:
        return "bundles", bundle_table(released_bundles(root / entry["bundles"]), entry["bundles"])
    if "all_gains" in entry:
        return "all gains", gains.verdicts_in_all(
            [*all_gains([each for each in texts if each["files"]], records).values()]
        )
    if "methods" in entry:
        chosen = [found for name, found in all_gains(texts, records).items() if name in entry["of"]]
        return "gains", gains.of_methods(chosen, entry["methods"])
    if "scores" in entry:
        return "scores", gains.score_table(record, entry["scores"])
    if "rows" in entry:
        rows = (
            _FIELD.sub(lambda each: format(value_of(records[study], each[1]), each[2]), row) for row in entry["rows"]
        )
        return "scores {number}", "\n".join(rows) + "\n"
    if record is None:
        return f"tools/demo {study}", f"`tools/demo {study}` has not been measured yet.\n"
    if "gains" in entry:
        return f"tools/demo {study}", gains.Study.of(record, entry["gains"]).table()
    return f"tools/demo {study}", tables_as_markdown(study, entry["tables"], record)


def all_gains(texts: list[dict[str, Any]], records: Records) -> dict[str, gains.Study]:
    """The gains of every recorded study with an entry for them, by the name of its record, in the order of the entries."""
    return {
        entry["study"]: gains.Study.of(records[entry["study"]], entry["gains"])
        for entry in texts
        if "gains" in entry and entry["study"] in records
    }


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


def phantom_commands(bundle: str) -> list[list[str]]:
    """For each block of commands in a bundle's README that writes phantoms, its commands, with continuation lines joined."""
    text = (ROOT / "bundles" / bundle / "docs/README.md").read_text()
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```bash\n(.*?)```", text, re.S)]
    return [[line for line in block.splitlines() if line.strip()] for block in blocks if "planewise phantom" in block]


def measure(bundle: str, out: Path) -> dict[str, Any]:
    """Run a bundle's phantom commands, except those for inference, in a folder, whose phantoms are kept if they are there.

    Returns:
        The record: ``made_by``, and under ``runs`` the scores on the test section of each run by the name of its folder.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # scores depend on the number of threads
    environment = {"PLANEWISE_CACHE": str(out / "cache")} | os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("PLANEWISE_SALT_FILE", None)
    made_by: dict[str, Any] = {"date": date.today().isoformat()}
    runs = {}
    for block in phantom_commands(bundle):
        commands = [command for command in block if "inference.yaml" not in command]
        # bundles with the same phantoms share them
        folder = out / hashlib.sha256(commands[0].encode()).hexdigest()[:8]
        shutil.copytree(ROOT / "bundles" / bundle, folder / "bundles" / bundle, dirs_exist_ok=True)
        written = [folder / name for name in re.findall(r"--output_dir \.\./\.\./(\S+)", "\n".join(commands))]
        for run in written:
            shutil.rmtree(run, ignore_errors=True)
        subprocess.run(["bash", "-c", "\n".join(["set -e", *commands])], cwd=folder, env=environment, check=True)
        for run in written:
            record = json.loads((run / "run.json").read_text())
            made_by |= {key: record[key] for key in ("commit", "devices", "precision", "packages") if key in record}
            runs[run.name] = _scores(json.loads((run / "test" / "metrics.json").read_text()))
    return {"made_by": made_by, "runs": runs}


def _scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """The scores that are single numbers, rounded to six digits."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found[name] = _scores(value)
        elif isinstance(value, (int, float)):
            found[name] = float(f"{value:.6g}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a table differs")
    parser.add_argument("--from", dest="study", nargs=2, metavar=("FOLDER", "NAME"), help="record a finished study")
    parser.add_argument(
        "--run", nargs="+", default=[], metavar="BUNDLE", help="run and record READMEs' phantom commands"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "work/readmes", help="folder for the runs of --run")
    options = parser.parse_args(arguments)
    for bundle in options.run:
        (HERE / "readmes").mkdir(exist_ok=True)
        record = measure(bundle, options.out.absolute())
        (HERE / "readmes" / f"{bundle}.json").write_text(json.dumps(record, indent=1) + "\n")
    if options.study:
        folder, name = options.study
        (HERE / f"{name}.json").write_text(as_text(recorded(Path(folder))))
    if options.run or options.study:
        print("recorded in tools/measured; run without --run and --from to write the documents")
        return 0
    records = {path.stem: from_text(path.read_text()) for path in HERE.glob("*.json")}
    records |= {f"readmes/{path.stem}": json.loads(path.read_text()) for path in HERE.glob("readmes/*.json")}
    records |= {path.parts[-3]: json.loads(path.read_text()) for path in ROOT.glob("bundles/*/models/record.json")}
    try:
        wanted = documents(yaml.safe_load((HERE / "tables.yaml").read_text()), records)
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
