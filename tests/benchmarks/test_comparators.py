from __future__ import annotations

import math

from bars import comparators
from timing import Options


def test_what_is_measured():
    bars = comparators.measure(Options(repetitions=2, quick=True))
    assert [bar.name.split(":")[0] for bar in bars] == [
        f"{bundle}, {size}" for bundle in comparators.BUNDLES for size in ("paper", "demo")
    ]
    assert all(math.isfinite(bar.value) and bar.value > 0 for bar in bars)
    assert [bar.limit for bar in bars] == [0.05, None] * len(comparators.BUNDLES)
    assert "slices" in bars[0].note
