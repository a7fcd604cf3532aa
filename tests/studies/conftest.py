"""The studies' scripts lie beside their configs: their folders are where they import each other from."""

from __future__ import annotations

import sys

from tests.conftest import ROOT

sys.path[:0] = [str(ROOT / "tools" / "studies"), str(ROOT / "tools" / "benchmarks")]
