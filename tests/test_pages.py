"""Test the tutorial, the notebooks, and the documentation site that shows them."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from planewise.commands import app
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.documented import printed, unknown_settings
from tests.quick_python import quick_python

TUTORIAL = ROOT / "tools/docs/tutorial.md"
PAGES = [
    ROOT / "README.md",
    ROOT / ".github/CONTRIBUTING.md",
    *sorted((ROOT / "tools/docs").rglob("*.md")),
    *sorted((ROOT / "bundles").glob("*/docs/README.md")),
]
NOTEBOOKS = sorted((ROOT / "tools/docs/notebooks").glob("*.ipynb"))
#: Maps the beginning of a tutorial command to settings that make it fast.
SMALLER = {
    "planewise phantom": " --workers 1 --exams 6 --set phases=2 --set spacing=3.6,4.2",
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


def commands(page: Path) -> Iterator[tuple[Path, list[str]]]:
    """The words of each command in a page's blocks and lines, and the folder that its last ``cd`` named."""
    text = page.read_text()
    # a command within a sentence has no folder of its own
    blocks = [*re.findall(r"```bash\n(.*?)```", text, re.S), *re.findall(r"`((?:planewise|tools/)[^`\n]+)`", text)]
    for block in blocks:
        folder = page.parents[1]
        for command in re.split(r"\n|&& ", block.replace("\\\n", " ")):
            command = command.lstrip("(")
            if command.startswith("cd "):
                folder = ROOT / "bundles" / Path(command.split()[1]).name
            elif re.match("planewise |tools/|.*monai.bundle run ", command):
                yield folder, shlex.split(command.removesuffix(")"), comments=True)


@functools.cache
def options(*command: str) -> set[str]:
    """The options of a subcommand of ``planewise``."""
    usage = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--help"])
    assert usage.exit_code == 0, command
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", usage.output))


def test_commands_of_the_pages_use_files_settings_and_options_that_exist():
    checked = Counter()
    for page in PAGES:
        for folder, words in commands(page):
            checked[words[0]] += 1
            if "monai.bundle" in words:
                # if a page has a placeholder (`NAME` or `...`) in place of a bundle or of settings, there is no config
                # to compare with
                if (folder / "configs").is_dir() and "/my/" not in str(words):
                    given = words[words.index("-m") :]
                    assert unknown_settings(given, folder) == {}, f"{page}: {words}"
            elif words[0] == "planewise":
                _, *words = words[: words.index("--") if "--" in words else None]
                known = options(*words[: 2 if words[0] == "phantom" else 1])
                unknown = {word for word in words if re.match("--?[a-z]", word)} - known
                assert not unknown, f"{page}: {words} has unknown options {unknown}"
            else:
                absent = [
                    w for w in words if re.match(r"(tools|tests|bundles)/[a-z_/.\d]+$", w) and not (ROOT / w).exists()
                ]
                assert not absent, f"{page}: {words} names files that do not exist: {absent}"
    assert min(checked[program] for program in ("planewise", "python", "torchrun", "tools/demo")) > 20, checked


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
