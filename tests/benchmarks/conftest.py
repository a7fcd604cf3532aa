"""Put the folder of the benchmarks on the import path, because they are scripts that import each other."""

from __future__ import annotations

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "tools" / "benchmarks"))
