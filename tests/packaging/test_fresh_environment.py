"""Test that the environment for packaged bundles contains only what it should."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.fresh_environment import fresh_environment


def imports(python: str | Path, module: str) -> bool:
    # -I ignores the tests' folder and PYTHONPATH
    done = subprocess.run([python, "-I", "-c", f"import {module}"], capture_output=True, text=True)
    assert done.returncode == 0 or "ModuleNotFoundError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("module", ["planewise", "typer", "pytest"])
def test_it_lacks_what_no_bundle_names(bare_python, module):
    assert not imports(bare_python, module)


def test_it_has_what_is_named_and_what_that_needs(tmp_path):
    python = fresh_environment(tmp_path / "environment", ["nibabel"])
    assert imports(python, "nibabel") and imports(python, "numpy")
    assert not imports(python, "scipy")
