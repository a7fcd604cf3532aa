from __future__ import annotations

import math

from bars import volume_batch
from timing import Options


def test_what_is_measured():
    bars = {bar.name: bar for bar in volume_batch.measure(Options(repetitions=2, quick=True))}
    assert all(math.isfinite(bar.value) and bar.value > 0 for bar in bars.values())
    assert bars["ours / MONAI cached and RandAffined"].limit == 1 / 5
    cache = bars["cache, bytes per voxel and channel"]
    # two bytes per voxel, plus affines and headers; the volumes are only 16 voxels wide here
    assert cache.limit == 2.04 and 2 <= cache.value < 2.2
