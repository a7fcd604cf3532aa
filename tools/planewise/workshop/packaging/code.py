"""Copy this package's code into a packaged bundle, under a name of its own."""

from __future__ import annotations

import hashlib
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import planewise
from planewise.engines.run_record import OURS
from planewise.errors import InputError

_PACKAGE = Path(planewise.__file__).parent
#: What no bundle's config needs: commands, phantoms, studies, packaging, and the results and pages of people's own exams.
_LEFT_OUT = (
    "__main__.py",
    "commands/*",
    "own_exams/*",
    "workshop/*",
    "exams/dicom_report.py",
    "exams/dicom_segmentation.py",
    "exams/source_images.py",
    "reports/*page*",
)
#: The package's name as a part of a dotted name, and in an import. Everywhere else, it is a word of a text.
_NAME = re.compile(rf"(?<![\w.]){OURS}(?=\.[\w{{])|(?<=\bimport ){OURS}\b|(?<=\bfrom ){OURS}(?= import)")
#: The Model Zoo's settings of isort and black, for ruff, which takes a fraction of a second.
_FORMAT = (
    'line-length = 120\ntarget-version = "py310"\nlint.select = ["I"]\nlint.isort.known-third-party = ["{name}"]\n'
    "lint.isort.split-on-trailing-comma = false\nformat.skip-magic-trailing-comma = true\n"
)


def copy_code(folder: Path) -> str:
    """Copy the package, without the parts that no bundle needs, into a bundle's folder, and format it as the Model Zoo does.

    Returns:
        The copy's name: `OURS` and eight digits of a checksum, so that copies of different code have different names, and
        one process can use several.

    Raises:
        InputError: ruff is not installed.
    """
    texts = {path: (_PACKAGE / path).read_text() for path in code_files()}
    name = f"{OURS}_{hashlib.sha256(repr(texts).encode()).hexdigest()[:8]}"
    for path, text in texts.items():
        target = folder / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(renamed(text, name))
    _format(folder / name)
    return name


def code_files() -> list[str]:
    """Paths of the modules in a packaged bundle, below the package's folder."""
    found = [*_PACKAGE.rglob("*.py"), *_PACKAGE.rglob("*.yaml")]
    paths = sorted(path.relative_to(_PACKAGE).as_posix() for path in found)
    return [path for path in paths if not any(fnmatch(path, pattern) for pattern in _LEFT_OUT)]


def renamed(text: str, name: str) -> str:
    """The text of a module or a config with another name of the package."""
    return _NAME.sub(name, text)


def _format(code: Path) -> None:
    try:
        from ruff.__main__ import find_ruff_bin
    except ImportError:
        raise InputError("packaging needs ruff: pip install ruff") from None
    settings = code.with_name("ruff.toml")
    settings.write_text(_FORMAT.format(name=code.name))
    for command in (["check", "--fix"], ["format"]):
        options = ["--quiet", "--no-cache", "--config", str(settings), str(code)]
        subprocess.run([find_ruff_bin(), *command, *options], check=True)
    settings.unlink()
