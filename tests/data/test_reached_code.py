"""A small package whose imports are known by hand, and this one."""

from __future__ import annotations

from pathlib import Path

import planewise
import pytest
from planewise.data.reached_code import code_digest, reached_files
from planewise.packaging.source import Source

FILES = {
    "__init__.py": "",
    "errors.py": "class InputError(ValueError): ...\n",
    "preprocessing/__init__.py": "from pack.preprocessing.load import Load\nfrom pack.preprocessing.other import Other\n",
    "preprocessing/load.py": "import numpy as np\nfrom pack.geometry import plane\n\n\nclass Load: ...\n",
    "preprocessing/other.py": "class Other: ...\n",
    "geometry/__init__.py": "from pack.geometry.line import line\nfrom pack.geometry.plane import plane\n",
    "geometry/line.py": "def line(): ...\n",
    "geometry/plane.py": "from pack.geometry.tolerances import SMALL\n\n\ndef plane(): ...\n",
    "geometry/tolerances.py": "SMALL = 1\n",
    "exams/__init__.py": "_HOMES = {'find': 'pack.exams.index', 'write': 'pack.exams.datalist'}\n",
    "exams/index.py": "from pack.errors import InputError\n\n\ndef find(): ...\n",
    "exams/datalist.py": "def write(): ...\n",
    "pretexts/__init__.py": "",
    "pretexts/views.py": "from pack.preprocessing import Load\n",
}


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pack" / name).write_text(text)
    return tmp_path / "pack"


def reached(root: Path, module: str = "pack.preprocessing.load") -> set[str]:
    return {path.relative_to(root).as_posix() for path in reached_files([module], root).values()}


def digest(root: Path, module: str = "pack.preprocessing.load") -> str:
    return code_digest([module], root)


def test_what_a_module_imports_and_nothing_else(root):
    assert reached(root) == {"preprocessing/load.py", "geometry/plane.py", "geometry/tolerances.py"}
    assert reached(root, "pack.geometry.tolerances") == {"geometry/tolerances.py"}


@pytest.mark.parametrize("name", ["preprocessing/load.py", "geometry/plane.py", "geometry/tolerances.py"])
def test_a_comment_in_what_is_reached_changes_the_digest(root, name):
    before = digest(root)
    (root / name).write_text(FILES[name] + "# said otherwise\n")
    assert digest(root) != before


@pytest.mark.parametrize(
    "name", sorted(FILES.keys() - {"preprocessing/load.py", "geometry/plane.py", "geometry/tolerances.py"})
)
def test_a_change_in_what_is_not_reached_leaves_it(root, name):
    before = digest(root)
    (root / name).write_text(FILES[name] + "# said otherwise\n")
    assert digest(root) == before


def test_a_file_added_to_any_room_leaves_it(root):
    before = digest(root)
    for room in ("pretexts", "preprocessing", "geometry", "pretexts/corruption"):
        (root / room).mkdir(exist_ok=True)
        (root / room / "new.py").write_text("from pack.geometry import line\n")
    assert digest(root) == before


def test_a_file_that_moves_keeps_counting(root):
    """Into a room within a room; its importer follows."""
    nested = root / "geometry" / "numbers"
    nested.mkdir()
    (nested / "__init__.py").write_text("from pack.geometry.numbers.small import SMALL\n")
    (root / "geometry/tolerances.py").rename(nested / "small.py")
    (root / "geometry/plane.py").write_text("from pack.geometry.numbers import SMALL\n")
    assert reached(root) == {"preprocessing/load.py", "geometry/plane.py", "geometry/numbers/small.py"}
    before = digest(root)
    (nested / "small.py").write_text("SMALL = 2\n")
    assert digest(root) != before


@pytest.mark.parametrize(
    "statement",
    [
        "from pack.exams import find",
        "from pack.exams.index import find",
        "from pack.exams import index",
        "from pack.exams import find as found",
        "import pack.exams.index",
        "import pack.exams.index as index",
        "from ..exams import find",
        "from ..exams.index import find",
        "def late():\n    from pack.exams import find",
    ],
)
def test_every_way_to_import(root, statement):
    (root / "geometry/tolerances.py").write_text(statement + "\n")
    assert reached(root, "pack.geometry.tolerances") == {"geometry/tolerances.py", "exams/index.py", "errors.py"}


def test_what_a_room_defines_itself_is_in_its_init(root):
    (root / "exams/__init__.py").write_text("HERE = 1\n")
    (root / "geometry/tolerances.py").write_text("from pack.exams import HERE\n")
    assert reached(root, "pack.geometry.tolerances") == {"geometry/tolerances.py", "exams/__init__.py"}


def test_a_circle_ends(root):
    (root / "geometry/tolerances.py").write_text("from pack.preprocessing.load import Load\n")
    assert len(reached(root)) == 3


def test_modules_are_told_apart(root):
    """The same lines in another file are other code."""
    before = digest(root)
    both = (root / "geometry/plane.py").read_text(), (root / "geometry/tolerances.py").read_text()
    (root / "geometry/plane.py").write_text("".join(both))
    (root / "geometry/tolerances.py").write_text("")
    assert digest(root) != before


def test_this_package_as_it_is_packaged(tmp_path):
    """In a bundle the package is called scripts; there the same modules are reached."""
    root = Path(planewise.__file__).parent
    names = ["preprocessing.LoadSliced", "data.SliceDataset", "data.StackDataset"]
    for name, text in Source([f"planewise.{name}" for name in names]).files().items():
        (tmp_path / "scripts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scripts" / name).write_text(text)
    for module in ("preprocessing.load_slice", "data.slice_cache"):
        ours = reached(root, f"planewise.{module}")
        assert ours == reached(tmp_path / "scripts", f"scripts.{module}")
    assert {"data/slice_cache.py", "data/fingerprint.py"} <= ours
    assert {"exams/dicom.py", "exams/mrnet.py"} <= reached(root, "planewise.preprocessing.load_slice")
