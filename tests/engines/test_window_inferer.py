from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.engines import WindowInferer


def voxelwise(volume: torch.Tensor) -> torch.Tensor:
    """Two channels that depend on no neighbours."""
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

    WindowInferer(4, batch_size=2)(torch.rand(1, 1, 12, 4, 4), network)
    # three windows side by side and two between them
    assert seen == [(2, 1, 4, 4, 4), (2, 1, 4, 4, 4), (1, 1, 4, 4, 4)]
    seen.clear()
    WindowInferer()(torch.rand(1, 1, 8, 4, 4), network)
    assert seen == [(1, 1, 8, 4, 4)]


@pytest.mark.parametrize("window", [None, 4])
def test_a_network_of_images_goes_through_the_slices(window):
    seen = []

    def network(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape))
        return voxelwise(images)

    torch.manual_seed(0)
    volumes = torch.rand(2, 3, 6, 4, 5)
    output = WindowInferer(window, batch_size=4, spatial_dims=2)(volumes, network)
    expected = torch.stack(
        [torch.stack([voxelwise(volume[None, ..., k])[0] for k in range(5)], -1) for volume in volumes]
    )
    assert torch.allclose(output, expected, atol=1e-5)
    # ten slices, four at a time
    whole = [(4, 3, 6, 4), (4, 3, 6, 4), (2, 3, 6, 4)]
    assert seen == whole if window is None else {shape[2:] for shape in seen} == {(4, 4)}
