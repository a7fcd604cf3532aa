from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer
from planewise.engines import SliceBatchInferer
from torch import nn


class Recorder(nn.Module):
    """Returns two channels for one, and records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Conv2d(1, 2, 3, padding=1)
        self.seen: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return self.network(image)


@pytest.fixture
def network() -> Recorder:
    torch.manual_seed(0)
    return Recorder().eval()


@pytest.fixture
def volumes() -> MetaTensor:
    return MetaTensor(torch.rand(2, 1, 8, 6, 5), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))


@torch.no_grad()
def test_gives_what_monais_slice_inferer_gives(network, volumes):
    ours = SliceBatchInferer(batch_size=4)(volumes, network)
    theirs = SliceInferer(roi_size=(8, 6), spatial_dim=2, sw_batch_size=4)(volumes, network.network)
    assert ours.shape == (2, 2, 8, 6, 5)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert isinstance(ours, MetaTensor) and torch.equal(ours.affine, volumes.affine)


@torch.no_grad()
def test_batches_do_not_end_where_a_volume_does(network, volumes):
    SliceBatchInferer(batch_size=4)(volumes, network)
    assert [len(batch) for batch in network.seen] == [4, 4, 2]
    assert torch.equal(network.seen[1][1], volumes.as_tensor()[1, :, :, :, 0])
    assert not any(isinstance(batch, MetaTensor) for batch in network.seen)


@torch.no_grad()
def test_mixed_precision_is_inside(network, volumes):
    full, mixed = (SliceBatchInferer(4, amp)(volumes, network) for amp in (False, "bfloat16"))
    assert full.dtype == mixed.dtype == torch.float32
    assert 0 < float((full - mixed).abs().max()) < 0.05


@torch.no_grad()
def test_plain_tensors_stay_plain(network, volumes):
    assert type(SliceBatchInferer(4)(volumes.as_tensor(), network)) is torch.Tensor
