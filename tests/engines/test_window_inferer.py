from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.engines import WindowInferer


def voxelwise(volume: torch.Tensor) -> torch.Tensor:
    """Two channels that need no neighbours."""
    return torch.cat([volume.square(), 1 - volume], dim=1)


@pytest.mark.parametrize("window", [None, 4, 8])
@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 6, 11)])
def test_windows_make_up_the_volume(window, shape):
    torch.manual_seed(0)
    affine = torch.diag(torch.tensor([2.0, 2, 3, 1], dtype=torch.float64))
    volume = MetaTensor(torch.rand(1, 1, *shape), affine=affine)
    output = WindowInferer(window)(volume, voxelwise)
    assert output.shape == (1, 2, *shape) and torch.equal(output.affine, affine)
    assert torch.allclose(output.as_tensor(), voxelwise(volume.as_tensor()), atol=1e-5)


def test_the_network_sees_windows_of_that_size():
    seen = []

    def network(volume: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(volume.shape))
        return volume

    WindowInferer(4, batch_size=2)(torch.rand(1, 1, 8, 4, 4), network)
    # two windows side by side and one between them
    assert seen == [(2, 1, 4, 4, 4), (1, 1, 4, 4, 4)]
    seen.clear()
    WindowInferer()(torch.rand(1, 1, 8, 4, 4), network)
    assert seen == [(1, 1, 8, 4, 4)]
