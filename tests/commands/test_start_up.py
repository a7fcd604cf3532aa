"""What commands import before they do anything: nobody waits seconds for what is not used."""

import json
import subprocess
import sys

import typer
from planewise.commands import app

from tests.exams.conftest import write_usual_exam

#: What takes 50 ms or more to import.
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
        assert not end.code, (arguments, end.code)
print("", *sys.modules)
"""


def imported(*commands):
    """Which of `HEAVY` a new process has imported after these commands."""
    arguments = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", _RUN, arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(done.stdout.splitlines()[-1].split())


def paths(command, *before):
    """The words that lead to every command."""
    yield before
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, *before, name)


def test_help_imports_nothing_heavy():
    helps = [(*words, "--help") for words in paths(typer.main.get_command(app))]
    assert ("plan", "--help") in helps and ("phantom", "cardiac", "--help") in helps
    assert imported(*helps) == set()


def test_phantoms_need_no_torch(tmp_path):
    assert imported(("phantom", "cardiac", tmp_path, "--exams", 1)) <= {"nibabel", "numpy", "pydicom", "scipy.ndimage"}


def test_an_index_needs_torch_alone(tmp_path):
    """For the geometry; what MONAI and SciPy take would double it."""
    write_usual_exam(tmp_path / "exam")
    command = ("index", tmp_path / "exam", "-o", tmp_path / "list.json")
    assert imported(command) <= {"nibabel", "numpy", "pydicom", "torch"}
    assert (tmp_path / "list.json").is_file()
