from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from monai.transforms import Compose
from planewise.augmentation import (
    RandAffineBatchd,
    RandBlurBatchd,
    RandFlipRotate90Batchd,
    RandIntensityBatchd,
    RandRotateZoomBatchd,
    own_draws,
)
from planewise.pretexts import JigsawTilesd, MaskPatchesd, OverlappingPatchesd, RelativePatchesd, TwoViewsd


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_processes_draw_together_what_one_draws_for_all_their_samples(monkeypatch, draw):
    torch.manual_seed(3)
    alone = own_draws(6, 2, draw=draw, dtype=torch.float64)
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    dealt = []
    for rank in (0, 1):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        dealt.append(own_draws(3, 2, draw=draw, dtype=torch.float64))
    # the processes take turns: the first gets samples 0, 2 and 4 of the epoch, the second gets 1, 3 and 5
    assert torch.equal(torch.stack(dealt, dim=1).reshape(6, 2), alone)
    assert alone.dtype == torch.float64 and len(alone.unique()) == 12


#: Numbers of channels and sizes.
SQUARES, CUBES = (1, (16, 16)), (2, (8, 8, 8))


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize(
    ("transform", "form"),
    [
        (RandAffineBatchd(rotate=30, shift=0.1, flip_prob=0.5), SQUARES),
        (RandFlipRotate90Batchd(flip_prob=0.5, rotate90_prob=0.5), CUBES),
        (RandIntensityBatchd(gamma=0.6, bias_field=0.4, noise=0.3), SQUARES),
        (RandRotateZoomBatchd(spatial_dims=3), CUBES),
        (JigsawTilesd(), (1, (24, 24))),
        (RelativePatchesd(jitter=1), (1, (24, 24))),
        (MaskPatchesd(patch_size=4), SQUARES),
        (OverlappingPatchesd(), SQUARES),
        # noise is drawn for every pixel of a view
        (TwoViewsd(Compose([RandAffineBatchd(180.0), RandIntensityBatchd(0.5, 0.3, 0.1), RandBlurBatchd()])), SQUARES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_processes_change_their_samples_as_one_changes_them(monkeypatch, transform, form, processes):
    channels, size = form
    whole = {
        "image": torch.rand(6, channels, *size),
        "label": torch.randint(0, 3, (6, 1, *size)).float(),
        "affine": torch.eye(4, dtype=torch.float64).repeat(6, 1, 1),
        "image_padding": torch.zeros(6, channels),
    }
    torch.manual_seed(5)
    together = transform(whole)
    assert not torch.equal(together["image"][:, :channels], whole["image"])
    monkeypatch.setattr(idist, "get_world_size", lambda: processes)
    for rank in range(processes):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(5)
        own = transform({name: value[rank::processes] for name, value in whole.items()})
        assert all(torch.allclose(value, together[name][rank::processes], atol=1e-5) for name, value in own.items())
