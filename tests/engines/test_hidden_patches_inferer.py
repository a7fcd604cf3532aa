from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.engines import HiddenPatchesInferer
from planewise.errors import InputError


@pytest.mark.parametrize(("ratio", "groups"), [(0.75, 4), (0.5, 2), (0.6, 2), (0.9, 10), (0.1, 2)])
def test_every_patch_is_seen_once_and_the_groups_are_even(ratio, groups):
    seen = HiddenPatchesInferer(4, ratio).seen((24, 32))
    assert seen.shape == (groups, 24, 32)
    assert (seen.sum(dim=0) == 1).all()
    patches = seen[:, ::4, ::4].flatten(1).sum(dim=1)
    assert patches.max() - patches.min() <= 1
    whole = seen.reshape(groups, 6, 4, 8, 4).float().mean(dim=(2, 4))
    assert set(whole.unique().tolist()) == {0.0, 1.0}


def test_fewer_patches_than_groups():
    assert HiddenPatchesInferer(8, 0.9).seen((8, 16)).shape[0] == 2


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


def test_slices_come_out_in_their_order():
    volumes = (
        torch.arange(1.0, 6)[None, None, None, None].expand(2, 1, 8, 8, 5)
        * torch.tensor([1.0, 10])[:, None, None, None, None]
    )

    def network(image: torch.Tensor) -> torch.Tensor:
        return image.amax(dim=(2, 3), keepdim=True).expand_as(image)

    assert torch.allclose(HiddenPatchesInferer(4, 0.75, batch_size=2)(volumes, network), volumes)


def test_patches_that_do_not_fill_the_slices():
    with pytest.raises(InputError, match="another --patch_size"):
        HiddenPatchesInferer(16)(torch.zeros(1, 1, 24, 32, 2), lambda image: image)
