"""What of the package a config reaches, and how it is written under another name."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

import planewise
import pytest
from planewise.errors import InputError
from planewise.packaging.configs import names_in
from planewise.packaging.source import Source, rewrite_imports

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT

PACKAGE = Path(planewise.__file__).parent


def names_of(bundle: str) -> set[str]:
    return {
        name for path in (ROOT / "bundles" / bundle / "configs").glob("*.yaml") for name in names_in(path.read_text())
    }


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports, the slow way: by asking the file system what each name is."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("planewise"):
            for alias in node.names:
                inner = PACKAGE.joinpath(*node.module.split(".")[1:], f"{alias.name}.py")
                found.add(
                    f"{node.module}.{alias.name}"
                    if inner.is_file() and not is_function(node.module, alias.name)
                    else node.module
                )
    return found


def is_function(module: str, name: str) -> bool:
    """Whether a room's own names hide the module of the same name."""
    init = PACKAGE.joinpath(*module.split(".")[1:], "__init__.py")
    return init.is_file() and f"{name} import {name}" in init.read_text().replace("\n", " ")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_everything_that_a_module_imports_is_there(bundle):
    source = Source(names_of(bundle))
    for module in source.modules:
        for other in imported(PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")):
            # the package itself is always written
            assert other == "planewise" or other in source.modules or other in source.exports, (module, other)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_import_of_planewise_is_left(bundle):
    for name, text in Source(names_of(bundle)).files().items():
        for node in ast.walk(ast.parse(text)):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [entry for entry in named if entry.startswith("planewise")], name
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith("planewise."), f"{name}: a name that is imported as text?"


def test_only_what_is_reached():
    source = Source(["planewise.networks.SliceNet"])
    assert "planewise.networks.slice_net" in source.modules
    assert not [module for module in source.modules if module.split(".")[1] not in ("networks", "errors")]
    files = source.files()
    assert "SliceNet" in files["networks/__init__.py"] and "StackClassifier" not in files["networks/__init__.py"]
    assert "networks/alexnet.py" not in files and "commands/__init__.py" not in files
    assert files == Source(["planewise.networks.SliceNet"]).files()


def test_every_module_can_be_imported_where_planewise_cannot(tmp_path, monkeypatch):
    """All names that any bundle reaches, each room first in turn: no circle, nothing forgotten."""
    source = Source({name for bundle in BUNDLES for name in names_of(bundle)})
    for name, text in source.files().items():
        (tmp_path / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scripts" / name).write_text(text)
    for name in [name for name in sys.modules if name.partition(".")[0] == "planewise"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "planewise", None)
    monkeypatch.syspath_prepend(tmp_path)
    modules = sorted(module.replace("planewise", "scripts", 1) for module in source.modules)
    try:
        for first in sorted({name.rpartition(".")[0] for name in modules}):
            forget_scripts()
            import_module(first)
        for name in modules:
            import_module(name)
        scripts = import_module("scripts")
        # functions that hide the modules that they live in
        assert callable(scripts.networks.place_network) and callable(scripts.engines.precision)
        # what a function asked for stands at the top now
        assert scripts.preprocessing.load_stack.find_stacks is scripts.data.inputs.find_stacks
        assert scripts.__version__ == planewise.__version__ and not hasattr(scripts, "phantoms")
    finally:
        forget_scripts()


def forget_scripts():
    for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        del sys.modules[name]


def test_imports_are_rewritten_and_nothing_else():
    text = '''"""Says `planewise.networks` and planewise."""  # é
from planewise.errors import InputError
import planewise.geometry.lines
import planewise.data as data, os
x = "ä"; from planewise.networks import (
    SliceNet,
)
planewise.geometry.lines.clip_lines("from planewise import x", key="planewise")
names = "é", "planewise.networks.SliceNet", "see planewise.networks.SliceNet", f"{x}planewise.networks"
other.planewise = 1
'''
    assert rewrite_imports(text) == (
        text.replace("from planewise.e", "from scripts.e")
        .replace("import planewise.g", "import scripts.g")
        .replace("import planewise.d", "import scripts.d")
        .replace("from planewise.n", "from scripts.n")
        .replace("\nplanewise.geometry", "\nscripts.geometry")
        .replace('"planewise.networks.SliceNet"', '"scripts.networks.SliceNet"')
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("planewise.networks.SliceNett", "no SliceNett in planewise.networks"),
        ("planewise.network.SliceNet", "no network in planewise"),
        ("planewise.networks", "name what of the room"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name, told):
    with pytest.raises(InputError, match=told):
        Source([name])
