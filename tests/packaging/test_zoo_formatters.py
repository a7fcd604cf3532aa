"""Test packaged code with the Model Zoo's formatters."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from planewise.packaging.bundle import Bundle

from tests.bundles.conftest import BUNDLES
from tests.packaging.conftest import source

ZOO = """
line-length = 120
target-version = "py310"
lint.select = ["E", "F", "I", "W"]
lint.ignore = ["E203", "E501", "E741"]
lint.isort.known-third-party = ["planewise_00000000"]
lint.isort.split-on-trailing-comma = false
lint.per-file-ignores = {"__init__.py" = ["F401"]}
"""


def test_packaged_code_passes_the_zoos_formatters(tmp_path):
    ruff = shutil.which("ruff") or shutil.which("ruff", path=Path(sys.executable).parent)
    if ruff is None:
        pytest.skip("ruff, which knows isort's, black's and flake8's rules, is not installed")
    (tmp_path / "zoo.toml").write_text(ZOO)
    # bundles share most files; the same text in the same place is checked once
    files = {(file, text): name for name in BUNDLES for file, text in Bundle(source(name)).source._files.items()}
    for (file, text), name in files.items():
        path = tmp_path / name / "planewise_00000000" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for command in (["check"], ["format", "--check"]):
        options = [*command, "--no-cache", "--quiet", "--config", tmp_path / "zoo.toml", tmp_path]
        done = subprocess.run([ruff, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
