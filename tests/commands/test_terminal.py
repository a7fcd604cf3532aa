"""Test what commands print if the operating system refuses a file, and if they are interrupted."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from planewise.__main__ import main
from planewise.commands import app, report
from planewise.commands.terminal import literal, plain_table, refusals
from rich.console import Console
from typer.testing import CliRunner

#: Longer than a file's path may be.
_LONG = "/tmp/" + "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ("index", ".", "-o", _LONG),
        ("index", ".", "--labels", _LONG),
        ("inspect", _LONG),
        ("plan", _LONG, "-o", "out"),
        ("segment", _LONG, "-o", "out"),
        ("export", _LONG, "-o", "Dataset101_Heart"),
        ("report", _LONG),
        ("package", _LONG),
        ("phantom", "photograph", _LONG, "--exams", "1", "--workers", "1"),
    ],
    ids=lambda words: " ".join(words[:3])[:20],
)
def test_a_path_that_is_too_long_is_refused_in_one_line(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.nii").write_bytes(b"")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    *begun, line = result.stderr.strip().splitlines()
    assert [each for each in begun if each] in ([], ["Looking for exams ..."])
    assert line.startswith(f"planewise {words[0]}: ") and "File name too long" in line


@pytest.mark.parametrize(
    "words", ["index .", "plan .", "segment .", "segment in.json", "inspect in.json", "export in.json"]
)
def test_an_unknown_user_in_the_output_is_refused_in_one_line(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text('{"test": []}')
    result = CliRunner().invoke(app, [*words.split(), "-o", "~no-such-user/x"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    assert "a path begins with ~ and the name of an unknown user" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError("of a library"), ValueError("a mistake")]
)
def test_other_errors_stay_errors(error):
    with pytest.raises(type(error)), refusals("index"):
        raise error


def test_control_characters_and_markup_are_shown_and_lines_stay():
    assert literal("a\nb [red]c[/]\x1b\r\u202e") == "a\nb \\[red]c\\[/]\\x1b\\r\\u202e"


def test_a_table_cuts_no_text():
    console = Console(file=io.StringIO(), width=30)
    table = plain_table("reasons", ["exam"], ["mm"], ["why"])
    table.add_row("7f3a09c1d2", "10.0", "x" * 70)
    console.print(table)
    assert console.file.getvalue().count("x") == 71 and "…" not in console.file.getvalue()


def test_published_rows_of_a_report_are_dim(monkeypatch):
    rows = [SimpleNamespace(cells=[text], published=text == "paper") for text in ("own", "paper")]
    shown = []
    monkeypatch.setattr(report, "Console", lambda **_: SimpleNamespace(print=lambda *what, **_: shown.extend(what)))
    table = SimpleNamespace(title="scores", header=["method"], rows=rows)
    monkeypatch.setattr("planewise.workshop.study.study_report.write_study_report", lambda *_: [table])
    assert CliRunner().invoke(app, ["report", "study"]).exit_code == 0
    assert [row.style for row in shown[0].rows] == ["", "dim"]


def test_ctrl_c_during_the_imports_ends_a_command_in_one_line(tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "planewise", "index", "."],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "planewise: interrupted\n")


def test_ctrl_c_during_a_command_ends_it_in_one_line(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("planewise.workshop.study.study_report.write_study_report", interrupted)
    monkeypatch.setattr(sys, "argv", ["planewise", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130 and capsys.readouterr().err == "planewise: interrupted\n"


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["report", "/nowhere"], 1)])
def test_other_ends_of_a_command_keep_their_status(monkeypatch, capsys, words, status):
    monkeypatch.setattr(sys, "argv", ["planewise", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status and "interrupted" not in capsys.readouterr().err
