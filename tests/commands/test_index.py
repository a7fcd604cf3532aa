"""Test the output and messages of `planewise index`."""

import json
import re

import pytest
import typer
from planewise.commands.datalists import index
from typer.testing import CliRunner

from tests.exams.conftest import flawed, sound_phantom, usual_exam, write_usual_exam  # noqa: F401  (fixtures)
from tests.exams.files import STUDY, write_image
from tests.exams.test_volumes import write_acdc

app = typer.Typer()
app.command()(index)


def run(*arguments, width=200):
    return CliRunner(env={"COLUMNS": str(width)}).invoke(app, [str(argument) for argument in arguments])


def test_it_prints_a_table_and_writes_the_datalist(usual_exam, tmp_path):  # noqa: F811
    outcome = run(usual_exam, "-o", tmp_path / "list.json", "--split", "1", "0", "0")
    assert outcome.exit_code == 0, outcome.output
    (name,) = json.loads((tmp_path / "list.json").read_text())["exams"]
    row = next(line for line in outcome.output.splitlines() if name in line)
    assert row.split() == [name, "training", "sax", "1.00", "5", "6", "10.0"]
    assert re.search(r"^\s+4ch\s+(1\.00|0\.9\d)\s+1\s+6\s+-", outcome.output, re.MULTILINE)
    assert "Items: 30 training, 0 validation, 0 test." in outcome.output
    assert "Sections: by a hash of the patient: 1 0 0, seed 0." in outcome.output


def test_a_terminal_does_not_obey_a_file(usual_exam, tmp_path):  # noqa: F811
    write_image(usual_exam / "\x1b[31mred\nline[bold].dcm", (0, 0, 0), (1, 0, 0), (0, 1, 0), SamplesPerPixel=3)
    outcome = run(usual_exam, "-o", tmp_path / "list.json")
    assert outcome.exit_code == 0, outcome.output
    assert "\x1b" not in outcome.output and r"\x1b[31mred" in outcome.output and "line[bold].dcm" in outcome.output


def test_a_private_table_says_which_folder_a_hash_is(usual_exam, tmp_path):  # noqa: F811
    assert run(usual_exam, "-o", tmp_path / "list.json").exit_code == 0
    (name,) = json.loads((tmp_path / "list.json").read_text())["exams"]
    table = tmp_path / "list_folders.csv"
    assert table.read_text() == f"exam,folder,StudyInstanceUID,StudyDate\n{name},exam,{STUDY},\n"
    assert {file.stat().st_mode & 0o777 for file in (table, tmp_path / "list.json")} == {0o600}, "both contain paths"
    write_acdc(tmp_path / "acdc", 1)
    assert run(tmp_path / "acdc", "-o", tmp_path / "list.json").exit_code == 0
    assert not table.exists(), "volumes are in the datalist; the table of other exams must not stay"


def test_nobody_is_named_on_the_screen(flawed, tmp_path):  # noqa: F811
    """The output shows hashes only; paths appear in two places, in the example of a left-out file and as the name of the
    written file.
    """
    root = flawed("identity")
    outcome = run(root, "-o", tmp_path / "list.json")
    assert outcome.exit_code == 0
    for part in {part for path in root.rglob("*") for part in path.relative_to(root).parts if len(part) > 4}:
        assert part not in outcome.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["{tmp}/empty"],
        ["{exam}", "-o", "/dev/null/list.json"],
        ["{exam}", "-o", "{tmp}/empty"],
        ["{exam}", "--classes", "{tmp}/nowhere.csv"],
        ["{exam}", "--labels", "{tmp}/empty"],
        ["{exam}", "--anatomy", "liver"],
        ["{exam}", "--stratify", "fat"],
    ],
)
def test_what_cannot_be_done_is_one_message(usual_exam, tmp_path, arguments):  # noqa: F811
    (tmp_path / "empty").mkdir()
    arguments = [argument.format(tmp=tmp_path, exam=usual_exam) for argument in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "list.json")]
    outcome = run(*arguments)
    assert outcome.exit_code == 1
    assert "planewise index:" in outcome.output and "Traceback" not in outcome.output
    assert isinstance(outcome.exception, SystemExit)
    assert not (tmp_path / "list.json").exists()
