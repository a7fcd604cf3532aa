"""An environment with the packages that a bundle requires, and without planewise.

``python -m tests.packaging.fresh_environment fresh`` prints the requirements of all bundles for pip; ``oldest`` prints them
with the lowest versions that setup.cfg allows, and ``lowest`` prints the lowest version of every package in setup.cfg.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from planewise.workshop.packaging.bundle import Bundle

from tests.conftest import ROOT


def required_by_all() -> dict[str, str]:
    """Maps the distributions that the repository's bundles require to their versions."""
    bundles = map(Bundle, sorted(ROOT.glob("bundles/*/")))
    return {name: version for bundle in bundles for name, version in bundle.requirements.items()}


def lowest_versions() -> dict[str, str]:
    """Map each distribution in setup.cfg, also in its extras, to the lowest version that is allowed."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = "\n".join([setup["options"]["install_requires"], *setup["options.extras_require"].values()])
    wanted = map(Requirement, filter(None, lines.splitlines()))
    return {need.name: part.version for need in wanted for part in need.specifier if part.operator == ">="}


def fresh_environment(folder: Path, names: Iterable[str]) -> Path:
    """Create a virtual environment that has only these distributions and their dependencies, taken from this environment.

    They are linked, not copied; everything else cannot be imported, as if pip had made the environment.

    Args:
        folder: of the environment.
        names: of distributions.

    Returns:
        Its Python.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip())
    for part in _with_dependencies(names):
        # the text of RECORD, because `files` makes a path object of each of torch's thousands of files
        names = (row[0] for row in csv.reader((part.read_text("RECORD") or "").splitlines()))
        for top in dict.fromkeys(name.partition("/")[0] for name in names):
            # entries such as ../../bin are not modules, and several distributions may share a folder
            if top != ".." and not (packages / top).exists():
                (packages / top).symlink_to(part.locate_file(top))
    return python


def _with_dependencies(names: Iterable[str]) -> Iterator[Distribution]:
    """Distributions and their dependencies, without extras."""
    waiting, seen = list(names), set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # an optional dependency that is not installed
            continue
        yield found
        needed = map(Requirement, found.requires or ())
        waiting += [need.name for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})]


if __name__ == "__main__":
    lowest = lowest_versions() if sys.argv[1] != "fresh" else {}
    wanted = lowest if sys.argv[1] == "lowest" else required_by_all()
    print("\n".join(f"{name}=={lowest.get(name, version)}" for name, version in sorted(wanted.items())))
