from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer
from planewise.engines import FeatureInferer, HiddenPatchesInferer, SliceBatchInferer, WindowInferer
from planewise.networks import ResidualEncoder, SharedEncoderNet
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
def recorder() -> Recorder:
    torch.manual_seed(0)
    return Recorder().eval()


@pytest.fixture
def volumes() -> MetaTensor:
    return MetaTensor(torch.rand(2, 1, 8, 6, 5), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))


@torch.no_grad()
def test_gives_what_monais_slice_inferer_gives(recorder, volumes):
    ours = SliceBatchInferer(batch_size=4)(volumes, recorder)
    theirs = SliceInferer(roi_size=(8, 6), spatial_dim=2, sw_batch_size=4)(volumes, recorder.network)
    assert ours.shape == (2, 2, 8, 6, 5)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert isinstance(ours, MetaTensor) and torch.equal(ours.affine, volumes.affine)


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


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_row_for_a_volume_or_for_each_slice(spatial_dims):
    torch.manual_seed(0)
    encoder = ResidualEncoder((4, 8), in_channels=2, spatial_dims=spatial_dims)
    network = SharedEncoderNet(encoder, 1, 10).eval()
    volume = torch.rand(2, 2, 8, 8, 4)
    with torch.no_grad():
        found = FeatureInferer(batch_size=3, spatial_dims=spatial_dims)(MetaTensor(volume), network)
        assert found.shape == (2, 8, 1 if spatial_dims == 3 else 4)
        for number in range(2):
            for place in range(found.shape[2]):
                seen = volume[number] if spatial_dims == 3 else volume[number, ..., place]
                expected = network.encoder(seen[None])[-1].flatten(2).mean(2)[0]
                assert torch.allclose(found[number, :, place], expected, atol=1e-6)


@pytest.mark.parametrize(("ratio", "groups"), [(0.75, 4), (0.5, 2), (0.6, 2), (0.9, 10), (0.1, 2)])
def test_every_patch_is_seen_once_and_the_groups_are_even(ratio, groups):
    seen = HiddenPatchesInferer(4, ratio).seen((24, 32))
    assert seen.shape == (groups, 24, 32)
    assert (seen.sum(dim=0) == 1).all()
    patches = seen[:, ::4, ::4].flatten(1).sum(dim=1)
    assert patches.max() - patches.min() <= 1
    whole = seen.reshape(groups, 6, 4, 8, 4).float().mean(dim=(2, 4))
    assert set(whole.unique().tolist()) == {0.0, 1.0}


def test_a_pixel_is_the_mean_of_what_was_guessed_while_it_was_hidden():
    """A network that predicts a constant for each call, plus 1000 times its input."""
    calls: list[torch.Tensor] = []

    def network(image: torch.Tensor) -> torch.Tensor:
        calls.append(image)
        return len(calls) + 1000 * image

    volumes = MetaTensor(torch.rand(1, 1, 12, 16, 3) + 1, affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    inferer = HiddenPatchesInferer(4, 0.75, batch_size=3)
    restored = inferer(volumes, network)
    assert isinstance(restored, MetaTensor) and torch.equal(restored.affine, volumes.affine)
    assert restored.shape == volumes.shape
    seen = inferer.seen((12, 16))
    for number, group in enumerate(seen):
        assert torch.equal(calls[number] != 0, group.expand(3, 1, 12, 16)), "the network sees only the other groups"
        # the four calls predict 1, 2, 3 and 4; the pixel gets the mean of the three calls in which it was hidden
        wanted = (10 - (number + 1)) / 3
        assert torch.allclose(restored.as_tensor()[0, 0, group], torch.tensor(wanted))
