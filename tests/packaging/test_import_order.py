"""Imports of packaged code, by hand and by ruff with the Model Zoo's settings of isort, black and flake8."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from planewise.packaging.bundle import Bundle
from planewise.packaging.import_order import sorted_imports

from tests.bundles.conftest import BUNDLES
from tests.packaging.conftest import source

BEFORE = '''"""A module."""

from __future__ import annotations

from typing import TYPE_CHECKING
import re

import torch
from torch import nn  # layers

from scripts.errors import (
    InputError,
)
# the trap
from monai.data import MetaTensor
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from scripts.data import Slices


def loaded():
    import scripts.data
    import json

    return json, scripts.data
'''
AFTER = '''"""A module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
# the trap
from monai.data import MetaTensor
from scripts.errors import InputError
from torch import nn  # layers

if TYPE_CHECKING:
    from scripts.data import Slices
    from torch import Tensor


def loaded():
    import json

    import scripts.data

    return json, scripts.data
'''
ZOO = """
line-length = 120
target-version = "py310"
lint.select = ["E", "F", "I", "W"]
lint.ignore = ["E203", "E501", "E741"]
lint.isort.known-third-party = ["scripts"]
lint.isort.split-on-trailing-comma = false
lint.per-file-ignores = {"__init__.py" = ["F401"]}
"""


def test_imports_are_sorted_wherever_they_stand():
    assert sorted_imports(BEFORE) == AFTER
    assert sorted_imports(AFTER) == AFTER


def test_packaged_code_passes_the_zoos_formatters(tmp_path):
    ruff = shutil.which("ruff") or shutil.which("ruff", path=Path(sys.executable).parent)
    if ruff is None:
        pytest.skip("ruff, which knows isort's, black's and flake8's rules, is not installed")
    (tmp_path / "zoo.toml").write_text(ZOO)
    for name in BUNDLES:
        for file, text in Bundle(source(name)).source.files().items():
            path = tmp_path / name / "scripts" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for command in (["check"], ["format", "--check"]):
        options = [*command, "--no-cache", "--quiet", "--config", tmp_path / "zoo.toml", tmp_path]
        done = subprocess.run([ruff, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
