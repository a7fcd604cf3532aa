"""Test what commands print if the operating system refuses a file."""

import pytest
from planewise.commands import app
from planewise.commands.terminal import refusals
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
        ("check", _LONG),
        ("phantom", "photograph", _LONG, "--exams", "1", "--workers", "1"),
    ],
    ids=lambda words: " ".join(words[:3])[:20],
)
def test_a_path_that_is_too_long_is_refused_in_one_line(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.nii").write_bytes(b"")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    [line] = result.stderr.strip().splitlines()
    assert line.startswith(f"planewise {words[0]}: ") and "File name too long" in line


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError("of a library"), ValueError("a mistake")]
)
def test_other_errors_stay_errors(error):
    with pytest.raises(type(error)), refusals("index"):
        raise error
