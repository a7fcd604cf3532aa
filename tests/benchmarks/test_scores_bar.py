from __future__ import annotations

import pytest
import torch
from bars import scores
from planewise.metrics import volume_scores
from timing import Options


def test_what_is_measured():
    (bar,) = scores.measure(Options(repetitions=2, quick=True))
    assert bar.limit == 0.2 and bar.value > 0 and "3 structures" in bar.note


@pytest.mark.parametrize("seed", range(5))
def test_both_give_the_same_scores(seed):
    """The masks are random blobs with holes, and their number varies from slice to slice; the spacing differs along
    each axis."""
    draw = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(2, 4, 24, 20, generator=draw), 5, 1, 2)
    one, other = ((smooth - smooth.min()) / (smooth.max() - smooth.min()) * 3.99).byte().permute(0, 2, 3, 1)
    spacing = [1.5, 2.0, 9.0]
    wanted = scores.monai_scores(one, other, spacing, scores.STRUCTURES)
    found = volume_scores(one, other, spacing, scores.STRUCTURES)
    for name, structure in wanted.items():
        assert found[name] == pytest.approx(structure, rel=1e-5)
