from __future__ import annotations

import math

import pytest
from bars import two_views
from timing import Options


@pytest.mark.slow
def test_what_is_measured():
    bars = {bar.name: bar for bar in two_views.measure(Options(repetitions=2, quick=True))}
    measured = {name for name, bar in bars.items() if bar.value is not None}
    # kornia is among the peers, which tests do not install
    assert set(bars) - measured <= {"ours / kornia, batched"}
    assert measured >= {
        "our two views",
        "two views / the network's step on them",
        "NT-Xent / MONAI's ContrastiveLoss",
        "NT-Xent / MONAI's ContrastiveLoss, memory",
    }
    assert all(math.isfinite(bars[name].value) and bars[name].value > 0 for name in measured)
    assert bars["ours / kornia, batched"].limit == bars["NT-Xent / MONAI's ContrastiveLoss"].limit == 1.0
