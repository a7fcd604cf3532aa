"""The benchmarks are scripts beside the package: their folder is where they import each other from."""

from __future__ import annotations

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "tools" / "benchmarks"))
