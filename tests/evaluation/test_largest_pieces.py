from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import KeepLargestConnectedComponentd
from planewise.evaluation import KeepLargestPiecesd


def labels(kind: str) -> MetaTensor:
    volume = torch.zeros(1, 14, 15, 6)
    noise = torch.randint(0, 3, (1, 5, 6, 3), generator=torch.Generator().manual_seed(0)).float()
    if kind == "in a corner":
        volume[:, :5, :6, :3] = noise
    elif kind == "apart":
        volume[:, 2:7, 1:7, 2:5] = noise
        volume[:, 12, 13, 5] = 1
    elif kind == "everywhere":
        volume = torch.randint(0, 3, volume.shape, generator=torch.Generator().manual_seed(1)).float()
    return MetaTensor(volume, affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))


@pytest.mark.parametrize("kind", ["in a corner", "apart", "everywhere", "nowhere"])
def test_gives_what_monai_gives(kind):
    before = labels(kind)
    ours, theirs = (
        transform("pred", applied_labels=[1, 2])({"pred": before.clone()})["pred"]
        for transform in (KeepLargestPiecesd, KeepLargestConnectedComponentd)
    )
    assert torch.equal(ours, theirs)
    assert torch.equal(ours.affine, before.affine)
    assert kind == "nowhere" or not torch.equal(ours, before)


def test_leaves_what_it_was_given():
    given = labels("apart")
    KeepLargestPiecesd("pred", applied_labels=[1, 2])({"pred": given})
    assert torch.equal(given, labels("apart"))
