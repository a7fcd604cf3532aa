"""Test that commands start quickly because they import only the modules that they use."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import typer
from planewise.commands import app
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.exams.conftest import write_usual_exam

#: Modules that take 50 ms or more to import.
HEAVY = {
    "ignite", "itk", "matplotlib", "monai", "nibabel", "numpy", "plotly", "pydicom", "scipy.ndimage", "scipy.stats",
    "sklearn", "torch",
}  # fmt: skip
_RUN = """
import json, sys
from planewise.commands import app
for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments)
    except SystemExit as end:
        assert (end.code or 0) == int(sys.argv[2]), (arguments, end.code)
print("", *sys.modules)
"""


def imported(*commands, status=0):
    """The modules of `HEAVY` that a new process has imported after these commands, which end with this status, and what it
    printed on its error stream, which is a pipe."""
    arguments = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", _RUN, arguments, str(status)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(done.stdout.splitlines()[-1].split()), done.stderr


def paths(command, *before):
    """The words that call each command."""
    yield before
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, *before, name)


def test_help_imports_nothing_heavy():
    helps = [(*words, "--help") for words in paths(typer.main.get_command(app))]
    assert ("plan", "--help") in helps and ("phantom", "--help") in helps
    assert imported(*helps)[0] == set()


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_help_has_an_example_of_itself(option):
    for words in paths(typer.main.get_command(app)):
        outcome = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*words, option])
        assert outcome.exit_code == 0, words
        assert f"Example: {' '.join(('planewise', *words))} " in outcome.output, words


def test_wrong_paths_are_refused_before_anything_heavy_is_imported(tmp_path):
    """So is a folder for results in which nothing can be written: here it is below a file."""
    file = tmp_path / "file"
    file.touch()
    nowhere, bad = tmp_path / "nowhere", file / "out"
    wrong = [
        ("plan", nowhere, "-o", tmp_path / "out"),
        ("segment", nowhere, "-o", tmp_path / "out"),
        ("segment", f"{nowhere}.json", "-o", tmp_path / "out"),
        ("index", nowhere, "-o", tmp_path / "list.json"),
        ("inspect", f"{nowhere}.json"),
        ("compare", tmp_path, nowhere, "-o", tmp_path / "out"),
        ("compare", nowhere, tmp_path, "-o", tmp_path / "out"),
        ("plan", tmp_path, "-o", bad),
        ("segment", tmp_path, "-o", bad),
        ("segment", file, "-o", bad),
        ("compare", tmp_path, tmp_path, "-o", bad),
    ]
    assert imported(*wrong, status=1)[0] == set()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_line_says_at_once_that_work_begins(tmp_path):
    """It goes to the error stream before the exams are read."""
    for name in ("plan", "segment"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        outcome = CliRunner().invoke(app, [name, str(tmp_path / "empty"), "-o", str(tmp_path / "out")])
        assert outcome.exit_code == 1
        assert outcome.output.startswith("Looking for exams ...\n"), outcome.output


def test_phantoms_need_no_torch(tmp_path):
    small = ("--exams", 1, "--set", "phases=1", "--set", "spacing=6,6")
    assert imported(("phantom", "cardiac", tmp_path, *small))[0] <= {"nibabel", "numpy", "pydicom", "scipy.ndimage"}


def test_an_index_needs_torch_alone(tmp_path):
    """torch is needed for the geometry; MONAI and SciPy would double the time."""
    write_usual_exam(tmp_path / "exam")
    command = ("index", tmp_path / "exam", "-o", tmp_path / "list.json")
    modules, printed = imported(command)
    assert modules <= {"nibabel", "numpy", "pydicom", "torch"} and printed.startswith("Looking for exams ...\n"), (
        printed
    )
    assert (tmp_path / "list.json").is_file()


@pytest.mark.skipif(shutil.which("flock") is None, reason="without flock, nothing waits")
def test_one_script_at_a_time_installs(tmp_path):
    """Two studies that start in a fresh clone would run pip into one environment."""
    (tmp_path / "tools").mkdir()
    for file in ("environment.sh", "constraints.txt", "install"):
        shutil.copy(ROOT / "tools" / file, tmp_path / "tools")
    (tmp_path / "setup.cfg").touch()
    # a Python whose environments have a pip that takes a second
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$2" = venv ] || exit 0\nmkdir -p $3/bin && cp $0 $3/bin/python\n'
        "printf '#!/bin/sh\\necho pip >> pip.txt; sleep 1\\n' > $3/bin/pip && chmod +x $3/bin/pip\n"
    )
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python)}
    scripts = [
        subprocess.Popen([tmp_path / "tools/install"], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [script.communicate()[1] for script in scripts]
    assert [script.returncode for script in scripts] == [0, 0], printed
    assert (tmp_path / "pip.txt").read_text() == "pip\n"
    waited = [text for text in printed if text == "waiting for another process that installs into .venv\n"]
    assert len(waited) == 1, printed
    assert sum("installing into .venv (about two minutes)\n" in text for text in printed) == 1
    os.utime(tmp_path / "setup.cfg", (time.time() + 9,) * 2)
    again = subprocess.run([tmp_path / "tools/install"], env=environment, capture_output=True, text=True)
    assert again.stderr == "updating .venv (seconds if it is complete)\n"
