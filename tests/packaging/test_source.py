"""Test which modules of the package a config needs, and how they are rewritten under another name."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import planewise
import pytest
from planewise.errors import InputError
from planewise.own_names import forget
from planewise.packaging.configs import names_in
from planewise.packaging.source import Source, rewrite_imports

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT
from tests.kinds import others_slow

PACKAGE = Path(planewise.__file__).parent


def names_of(bundle: str) -> set[str]:
    return {
        name for path in (ROOT / "bundles" / bundle / "configs").glob("*.yaml") for name in names_in(path.read_text())
    }


@cache
def source_of(bundle: str) -> Source:
    return Source(names_of(bundle))


@cache  # bundles share most modules, so they are read once
def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports, found the slow way: a name is a module if there is a file for it."""
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
    """Whether a subpackage exports a name that hides its module of the same name."""
    init = PACKAGE.joinpath(*module.split(".")[1:], "__init__.py")
    return init.is_file() and f"{name} import {name}" in init.read_text().replace("\n", " ")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_everything_that_a_module_imports_is_there(bundle):
    source = source_of(bundle)
    assert source.modules
    for module in source.modules:
        for other in imported(PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")):
            # the package itself is always written
            assert other == "planewise" or other in source.modules or other in source.exports, (module, other)


@cache  # most files in the packages of two bundles are identical
def left_of_ours(text: str) -> list[str]:
    """Modules of planewise that a file imports or mentions in its texts."""
    left = []
    for node in ast.walk(ast.parse(text)):
        named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        left += [entry for entry in named if entry.partition(".")[0] == "planewise"]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("planewise."):
            left.append(node.value)
    return left


# the test below imports each module that any bundle needs, without planewise
@pytest.mark.parametrize("bundle", others_slow(BUNDLES))
def test_no_import_of_planewise_is_left(bundle):
    for name, text in source_of(bundle).files().items():
        assert not left_of_ours(text), f"{name} still mentions planewise, in an import or in a text"


def test_only_what_is_reached():
    source = Source(["planewise.networks.SliceNet"])
    assert "planewise.networks.slice_net" in source.modules
    assert not [module for module in source.modules if module.split(".")[1] not in ("networks", "errors")]
    files = source.files()
    assert '"SliceNet",' in files["networks/__init__.py"] and '"StackClassifier",' not in files["networks/__init__.py"]
    assert "networks/stack_classifier.py" not in files
    assert "networks/alexnet.py" not in files and "commands/__init__.py" not in files
    assert files == Source(["planewise.networks.SliceNet"]).files()


def test_every_module_can_be_imported_where_planewise_cannot(tmp_path, monkeypatch):
    """All names that any bundle needs, starting from each room in turn: no circular imports, and nothing missing."""
    source = Source({name for bundle in BUNDLES for name in names_of(bundle)})
    write(source.files(), tmp_path / source.name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "planewise"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "planewise", None)
    monkeypatch.syspath_prepend(tmp_path)
    modules = sorted(module.replace("planewise", source.name, 1) for module in source.modules)
    try:
        for first in sorted({name.rpartition(".")[0] for name in modules}):
            forget(source.name)
            import_module(first)
        for name in modules:
            import_module(name)
        code = import_module(source.name)
        # functions that have the same names as their modules
        assert callable(code.networks.place_network) and callable(code.engines.precision)
        assert code.__version__ == planewise.__version__ and not hasattr(code, "phantoms")
    finally:
        forget(source.name)


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


#: A package with a room inside a room: names pass through one `__init__.py` or through both, with the same name or another.
NESTED = {
    "__init__.py": "",
    "errors.py": "class InputError(ValueError):\n    pass\n",
    "bodies/__init__.py": '"""Bodies."""\n\n'
    "from planewise.bodies.heart import Heart\nfrom planewise.bodies.heart.beat import beat as pulse\n"
    "from planewise.bodies.skin import Skin\n\n"
    '__all__ = ["Heart", "Skin", "pulse"]\n',
    "bodies/skin.py": "class Skin:\n    pass\n",
    "bodies/bone.py": "class Bone:\n    pass\n",
    "bodies/heart/__init__.py": '"""What beats."""\n\nfrom planewise.bodies.heart.muscle import Heart, Valve\n',
    "bodies/heart/muscle.py": "from planewise.bodies.bone import Bone\nfrom planewise.bodies.heart.beat import beat\n"
    "from planewise.errors import InputError\n\n\n"
    "class Heart:\n    def rest(self):\n        return beat(), Bone\n\n\nclass Valve:\n    pass\n",
    "bodies/heart/beat.py": "def beat():\n    return 60\n",
}


@pytest.fixture
def nested(tmp_path, monkeypatch) -> Path:
    """The package in which `Source` looks for our modules, including files that a test adds."""
    write(NESTED, tmp_path / "planewise")
    monkeypatch.setattr(planewise, "__file__", str(tmp_path / "planewise/__init__.py"))
    return tmp_path / "planewise"


@pytest.mark.parametrize("name", ["planewise.bodies.heart.muscle.Heart", "planewise.bodies.heart.Heart"])
def test_a_room_in_a_room_brings_the_room_that_it_lies_in(name, nested):
    source = Source([name])
    files = source.files()
    assert sorted(files) == [
        "__init__.py",
        "bodies/__init__.py",
        "bodies/bone.py",
        "bodies/heart/__init__.py",
        "bodies/heart/beat.py",
        "bodies/heart/muscle.py",
        "errors.py",
    ]
    # the outer subpackage keeps only the names that are needed, here none, and the package lists only its top-level
    # subpackages
    assert "import" not in files["bodies/__init__.py"] and "Skin" not in files["bodies/__init__.py"]
    assert '_ROOMS = (\n    "bodies",\n)' in files["__init__.py"]
    assert ("Heart" in files["bodies/heart/__init__.py"]) == name.endswith("heart.Heart")
    assert "Valve" not in files["bodies/heart/__init__.py"]


def test_a_name_is_followed_through_two_rooms(nested, tmp_path, monkeypatch):
    source = Source(["planewise.bodies.Heart", "planewise.bodies.pulse"])
    assert source.exports == {"planewise.bodies": {"Heart", "pulse"}, "planewise.bodies.heart": {"Heart"}}
    files = source.files()
    assert f"from {source.name}.bodies.heart.beat import beat as pulse\n" in files["bodies/__init__.py"]
    write(files, tmp_path / "elsewhere" / source.name)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    code = import_module(source.name)
    bone = import_module(f"{source.name}.bodies.bone").Bone
    assert code.bodies.Heart().rest() == (60, bone) and code.bodies.pulse() == 60
    (nested / "bodies/bone.py").write_text("class Bone:\n    marrow = 1\n")
    assert Source(["planewise.bodies.Heart", "planewise.bodies.pulse"]).name != source.name


def test_relative_imports_are_refused(nested):
    (nested / "bodies/__init__.py").write_text("from .skin import Skin\n")
    with pytest.raises(InputError, match=r"planewise.bodies has a relative import \(line 1\)"):
        Source(["planewise.bodies.Skin"])
    (nested / "bodies/skin.py").write_text("from .bone import Bone\n")
    with pytest.raises(InputError, match=r"planewise.bodies.skin has a relative import \(line 1\)"):
        Source(["planewise.bodies.skin.Skin"])


def test_imports_are_rewritten_and_nothing_else():
    text = '''"""Says `planewise.networks` and planewise."""  # é
from planewise.errors import InputError
import planewise.geometry.lines
import planewise.data as data, os
x = "ä"; from planewise.networks import (
    SliceNet,
)
planewise.geometry.lines.clip_lines("from planewise import x", key="planewise")
raw = r"planewise.networks.PlainNet"
names = "é", "planewise.networks.SliceNet", "see planewise.networks.SliceNet", f"{x}planewise.networks"
other.planewise = 1
'''
    assert rewrite_imports(text) == (
        text.replace("from planewise.e", "from planewise_00000000.e")
        .replace("import planewise.g", "import planewise_00000000.g")
        .replace("import planewise.d", "import planewise_00000000.d")
        .replace("from planewise.n", "from planewise_00000000.n")
        .replace("\nplanewise.geometry", "\nplanewise_00000000.geometry")
        .replace('"planewise.networks.SliceNet"', '"planewise_00000000.networks.SliceNet"')
        .replace('r"planewise', 'r"planewise_00000000')
    )


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 splits f-strings into tokens")
def test_a_name_inside_a_formatted_text_is_refused():
    with pytest.raises(InputError, match="outside the f-string"):
        rewrite_imports('import planewise\nprint(f"version {planewise.__version__}")\n')
    assert rewrite_imports('print(f"planewise {x}")\n') == 'print(f"planewise {x}")\n'


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("planewise.networks.SliceNett", "no SliceNett in planewise.networks"),
        ("planewise.network.SliceNet", "no network in planewise"),
        ("planewise.networks", "name the part of the subpackage"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name, told):
    with pytest.raises(InputError, match=told):
        Source([name])
