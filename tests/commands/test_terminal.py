"""Test what commands print if the operating system refuses a file, and if they are interrupted."""

import os
import subprocess
import sys

import pytest
from planewise.__main__ import main
from planewise.commands.terminal import literal, refusals


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError("of a library"), ValueError("a mistake")]
)
def test_other_errors_stay_errors(error):
    with pytest.raises(type(error)), refusals("index"):
        raise error


def test_control_characters_and_markup_are_shown_and_lines_stay():
    assert literal("a\nb [red]c[/]\x1b\r\u202e") == "a\nb \\[red]c\\[/]\\x1b\\r\\u202e"


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
