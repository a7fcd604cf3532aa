"""Test the output and messages of `planewise align`."""

import json
import math
import re
from types import SimpleNamespace

import torch
import typer
from planewise.commands.align import align
from typer.testing import CliRunner

from tests.data.test_breath_holds import indexed  # noqa: F401  (fixture)

app = typer.Typer()
app.command()(align)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def test_it_prints_what_it_found_and_writes_a_datalist(indexed, tmp_path):  # noqa: F811
    outcome = run(indexed, "-o", tmp_path / "aligned.json")
    assert outcome.exit_code == 0, outcome.output
    content = json.loads((tmp_path / "aligned.json").read_text())
    (name,) = content["exams"]
    record = content["exams"][name]["breath_holds"]
    row = next(line for line in outcome.output.splitlines() if name in line).split()
    assert row[2:4] == [f"{value:.3f}" for value in record["agreement"]]
    views = [content["exams"][name]["stacks"][view]["items"][0] for view in ("2ch", "4ch")]
    slices = {item["slice"]: item for section in ("training", "validation", "test") for item in content[section]}
    lengths = sorted(math.hypot(*item["shift"]) for item in [*slices.values(), *views])
    assert row[1] == str(len(lengths))
    assert row[4:6] == [f"{lengths[(len(lengths) - 1) // 2]:.1f}", f"{lengths[-1]:.1f}"]
    assert row[6] == f"{record['uncertainty_mm']:.1f}"
    assert re.search(r"Corrected the shifts of 1 of 1 exam\. Wrote .*aligned\.json\.", outcome.output)
    again = run(tmp_path / "aligned.json", "-o", tmp_path / "twice.json")
    assert again.exit_code == 1 and not (tmp_path / "twice.json").exists()
    over = run(indexed, "-o", indexed)
    assert over.exit_code == 1 and "would overwrite the input" in over.output


def test_exams_that_stay_as_they_are_are_counted_apart(indexed, tmp_path, monkeypatch):  # noqa: F811
    shifts = {"images": 3, "agreement": (0.5, 0.75), "shifts": torch.eye(3), "uncertainty": 1.0}
    found = [SimpleNamespace(exam=name, why_not=None, **shifts) for name in ("aa", "bb")]
    found += [SimpleNamespace(exam=name, why_not="no views [2ch]") for name in ("cc", "dd", "ee")]
    content = json.loads(indexed.read_text())
    monkeypatch.setattr("planewise.data.breath_holds.undo_breath_holds", lambda *_: (content, found))
    outcome = run(indexed, "-o", tmp_path / "aligned.json")
    assert "Corrected the shifts of 2 of 5 exams." in outcome.output, outcome.output
    assert "unchanged: cc and 2 more. no views [2ch]" in outcome.output


def test_a_long_table_ends_with_the_number_of_exams_that_it_leaves_out(indexed, tmp_path, monkeypatch):  # noqa: F811
    shifts = {"images": 3, "agreement": (0.5, 0.75), "shifts": torch.eye(3), "uncertainty": 1.0}
    found = [SimpleNamespace(exam=name, why_not=None, **shifts) for name in ("aa", "bb", "cc")]
    found.append(SimpleNamespace(exam="dd", why_not="no views"))
    content = json.loads(indexed.read_text())
    monkeypatch.setattr("planewise.data.breath_holds.undo_breath_holds", lambda *_: (content, found))
    monkeypatch.setattr("planewise.commands.align._MOST_EXAMS", 1)
    outcome = run(indexed, "-o", tmp_path / "aligned.json")
    assert "... and 2 exams more: see `exams` in the datalist." in outcome.output, outcome.output
    assert "aa" in outcome.output and "bb" not in outcome.output
