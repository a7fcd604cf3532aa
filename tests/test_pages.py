"""Test the tutorial, the notebooks, and the documentation site that shows them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from planewise.commands import app
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.documented import printed, unknown_settings
from tests.quick_python import quick_python

TUTORIAL = ROOT / "tools/docs/tutorial.md"
NOTEBOOKS = sorted((ROOT / "tools/docs/notebooks").glob("*.ipynb"))
#: Settings that make the tutorial's commands fast, by the beginning of the command.
SMALLER = {
    "planewise phantom": " --workers 1 --exams 6 --phases 2 --set spacing=3.6,4.2",
    "planewise index work/tutorial/pacs ": " --split 0.4 0.3 0.3",
    "python -m monai.bundle run": " --features '[8, 16]' --image_size 48 --spacing 5.0 --samples_per_epoch 16 --max_epochs 1"
    " --val_interval 1",
}


def tutorial_blocks() -> list[str]:
    """The tutorial's commands without the installation; each block starts in the repository's root."""
    blocks = re.findall(r"```bash\n(.*?)```", TUTORIAL.read_text(), re.S)
    return [block.replace("\\\n", " ") for block in blocks if "tools/install" not in block]


def code_cells(notebook: Path) -> list[str]:
    """The code of a notebook's cells."""
    return [
        "".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]


def test_the_tutorial_uses_settings_and_options_that_exist():
    for block in tutorial_blocks():
        bundle = re.search(r"cd (\S+)", block)
        for line in block.splitlines():
            words = shlex.split(line, comments=True) if line.startswith(("planewise ", "python -m monai")) else []
            if "monai.bundle" in words:
                assert unknown_settings(words, ROOT / bundle[1]) == {}
            elif words:
                usage = CliRunner().invoke(
                    app, [*words[1:3], "--help"] if words[1] == "phantom" else [words[1], "--help"]
                )
                options = [word for word in words if word.startswith("-")]
                assert usage.exit_code == 0 and all(option in usage.output for option in options), line


@pytest.mark.slow
def test_the_tutorial_runs_from_top_to_bottom(tmp_path):
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles", ignore=shutil.ignore_patterns("eval", "runs"))
    script = ""
    for block in tutorial_blocks():
        lines = [
            line + next((more for begin, more in SMALLER.items() if line.startswith(begin)), "")
            for line in block.splitlines()
        ]
        script += "(\n" + "\n".join(lines) + "\n)\n"
    text = printed(script, tmp_path)
    assert "loaded" in text
    assert re.search(r"scratch mean Dice [\d.]+ over \d+ volumes\npretrained mean Dice", text)
    work = tmp_path / "work/tutorial"
    assert {"exam.png", "dist"} <= {path.name for path in work.iterdir()} and list(work.glob("planned/*/index.html"))
    assert list(work.glob("measured/*/index.html")) and list(work.glob("dist/*.zip"))


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(file, marks=pytest.mark.slow) for file in NOTEBOOKS],
    ids=str,
)
def test_a_notebook_runs_and_is_kept_without_its_outputs(notebook, tmp_path):
    """The notebook runs as a script in IPython, as in Jupyter's kernel; the site's build runs it in a kernel."""
    cells = json.loads(notebook.read_text())["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    shell = r"^!(.*)$"
    code = "\n".join(code_cells(notebook))
    commands = re.findall(shell, code, re.M)
    assert commands and all(command.startswith("planewise phantom ") for command in commands)
    code = re.sub(shell, r"__import__('subprocess').run('\1', shell=True, check=True)", code, flags=re.M)
    code = code.replace("from IPython.display import Image, display", "Image = Path; display = Path.read_bytes")
    environment = {
        **os.environ,
        "PATH": f"{Path(quick_python()).parent}:{os.environ['PATH']}",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run([quick_python(), "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    said = {
        "plan_an_exam": ["2ch normal [", "2ch no plane ['peak"],
        "scratch_or_pretrained": ["pretrained minus scratch"],
    }
    assert all(words in done.stdout for words in said[notebook.stem]), done.stdout


def test_the_site_shows_every_page():
    class Loader(yaml.SafeLoader):
        """It reads MkDocs' ``!ENV`` as its default value."""

    Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node)[-1])
    text = (ROOT / "tools/site/mkdocs.yml").read_text()
    yaml.load(text, Loader)
    listed = set(re.findall(r": (\S+\.(?:md|ipynb))$", text, re.M))
    pages = [*(ROOT / "tools/docs").rglob("*.md"), *NOTEBOOKS]
    assert {path.relative_to(ROOT).as_posix() for path in pages} <= listed
    assert not [page for page in listed if not (ROOT / page).is_file()]
