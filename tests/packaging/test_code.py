"""Test the copy of this package in a packaged bundle."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from planewise.workshop.packaging import code
from planewise.workshop.packaging.code import code_files, copy_code, renamed

from tests.packaging.test_versions import PINS

TOOLS = ("black", "isort", "flake8", "bugbear", "pep8ext_naming")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The folder of a copy."""
    folder = tmp_path_factory.mktemp("bundle")
    return folder / copy_code(folder)


def imports(path: Path) -> set[str]:
    """The dotted names that a module imports; for ``from a import b``, both ``a`` and ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_it_imports_itself_and_the_packages_that_bundles_name(copy):
    modules = {file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in code_files()}
    known = {file.partition("/")[0].removesuffix(".py") for file in code_files()}
    assert "exams" in known and not known & {"workshop", "commands", "own_exams", "__main__"}
    found = set().union(*(imports(path) for path in copy.rglob("*.py") if path != copy / "__init__.py"))
    assert not {name for name in found if name.partition(".")[0] == "planewise"}
    own = {name.removeprefix(f"{copy.name}.") for name in found if name.startswith(f"{copy.name}.")}
    own.remove("__version__")
    assert own and all(name in modules or name.rpartition(".")[0] in modules for name in own)
    foreign = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {copy.name}
    homes = packages_distributions()
    named = {name.lower().replace("_", "-") for module in foreign for name in homes[module]}
    # the distributions of ITK's modules are called itk-core and so on
    assert {name for name in named if not name.startswith("itk")} <= {*PINS, "mpl-toolkits", "filelock"}, (
        "torch needs filelock"
    )


def test_it_is_imported_without_the_original(copy, python_elsewhere):
    rooms = sorted({file.partition("/")[0] for file in code_files() if "/" in file})
    every = "; ".join(f"import {copy.name}.{room}" for room in rooms)
    subprocess.run(
        [python_elsewhere, "-c", f"import sys; sys.path.insert(0, ''); {every}"], cwd=copy.parent, check=True
    )


def test_its_name_follows_its_content(copy, tmp_path, monkeypatch):
    assert copy_code(tmp_path / "a") == copy.name
    other = shutil.copytree(code._PACKAGE, tmp_path / "planewise", ignore=shutil.ignore_patterns("bundles", "*.pyc"))
    (other / "errors.py").write_text((other / "errors.py").read_text() + "\n# changed\n")
    (other / "workshop/phantoms/recipe.py").unlink()  # no part of a copy
    monkeypatch.setattr(code, "_PACKAGE", other)
    assert copy_code(tmp_path / "b") not in (copy.name, "planewise")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import planewise", "import new"),
        ("from planewise import text_files", "from new import text_files"),
        ("from planewise.errors import InputError", "from new.errors import InputError"),
        ('import_module(f"planewise.{name}")', 'import_module(f"new.{name}")'),
        ("_target_: planewise.networks.SliceNet", "_target_: new.networks.SliceNet"),
        ("imports: [$import os, $import planewise]", "imports: [$import os, $import new]"),
        *((same, same) for same in ("`planewise plan` writes it", '"planewise"', "own.planewise.x", "planewise's.")),
    ],
)
def test_the_name_changes_where_it_is_a_module(text, expected):
    assert renamed(text, "new") == expected


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, TOOLS)), reason="needs the Model Zoo's formatters (setup.cfg, extra test)")
@pytest.mark.parametrize("command", ["black --skip-magic-trailing-comma --check", "isort --check", "flake8"])
def test_it_passes_the_zoos_format_check(command, copy, tmp_path):
    """``runtests.sh --codeformat`` of Project-MONAI/model-zoo, with its settings, without the checks of types."""
    shutil.copytree(copy, tmp_path / "models" / "bundle" / copy.name)
    (tmp_path / "pyproject.toml").write_text("[tool.black]\nline-length = 120\n")
    (tmp_path / "setup.cfg").write_text(ZOO_SETTINGS)
    done = subprocess.run([sys.executable, "-m", *command.split(), "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


#: Without B042, which flake8-bugbear has since 25.10.21: `InputError` can be pickled (tests/test_errors.py).
ZOO_SETTINGS = """
[flake8]
select = B,C,E,F,N,P,T4,W,B9
max_line_length = 120
ignore = E203,E501,E741,W503,W504,C408,N812,B023,B042
per_file_ignores = __init__.py: F401, __main__.py: F401

[isort]
known_first_party = models
profile = black
line_length = 120
"""
