"""Test MONAI's transforms, which are for one image, on batches; and draws that do not depend on the processes."""

from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CutMixd, Flipd, MixUpd, OneOf, RandFlipd, ScaleIntensityd
from planewise.augmentation import EachImaged, RandIntensityBatchd, own_draws, whole_batches
from planewise.engines import PrepareSliceBatch, PrepareStackBatch
from planewise.errors import InputError
from planewise.pretexts import ExemplarViewsd, TwoViewsd


def batch_of(count: int) -> dict:
    image = torch.rand(count, 1, 5, 6)
    return {"image": image, "label": (image > 0.5).float(), "location": torch.rand(count)}


def test_each_image_is_flipped_or_not_and_its_mask_with_it():
    """On the whole batch, MONAI would flip all images or none, and along the first axis it would do nothing."""
    torch.manual_seed(0)
    batch = batch_of(60)
    before = batch["image"].clone()
    moved = EachImaged(RandFlipd(["image", "label"], prob=0.5, spatial_axis=0))(batch)
    flipped = (moved["image"] == before.flip(2)).flatten(1).all(dim=1)
    kept = (moved["image"] == before).flatten(1).all(dim=1)
    assert bool((flipped ^ kept).all()) and 15 < int(flipped.sum()) < 45
    assert torch.equal(moved["label"], (moved["image"] > 0.5).float()) and torch.equal(batch["image"], before)
    assert torch.equal(moved["location"], batch["location"])
    assert type(moved["image"]) is torch.Tensor and not isinstance(moved["image"], MetaTensor)


def test_only_monais_own_transforms_are_applied_to_each_image():
    ours, theirs = RandIntensityBatchd(noise=0.1), ScaleIntensityd("image")
    mixed = whole_batches(
        Compose([ours, theirs, OneOf([theirs, theirs]), OneOf([ours, ours]), Compose([theirs, ours])])
    )
    names = [type(part).__name__ for part in mixed.transforms]
    assert names == ["RandIntensityBatchd", "EachImaged", "EachImaged", "OneOf", "Compose"]
    assert [type(part).__name__ for part in mixed.transforms[4].transforms] == ["EachImaged", "RandIntensityBatchd"]
    assert whole_batches(dict) is dict


@pytest.mark.parametrize(
    "mix",
    [MixUpd("image", batch_size=4), CutMixd("image", batch_size=4, label_keys="label")],
    ids=["mix-up", "cut-mix"],
)
def test_transforms_of_monai_that_mix_images_take_the_whole_batch(mix):
    batch = batch_of(4)
    expected = mix.set_random_state(1)(batch)["image"].flip(2)
    whole = whole_batches(Compose([mix, Flipd(["image", "label"], spatial_axis=0)]))
    mix.set_random_state(1)
    mixed = whole(batch)["image"]
    assert torch.equal(mixed, expected) and not torch.equal(mixed, batch["image"].flip(2))


@pytest.mark.parametrize(
    "made",
    [
        lambda transform: PrepareSliceBatch("label", transform).augmentation,
        lambda transform: PrepareStackBatch(transform).augmentation,
        lambda transform: TwoViewsd(transform).view,
        lambda transform: ExemplarViewsd(transform).view,
    ],
)
def test_every_place_for_augmentation_takes_transforms_of_monai(made):
    batch = batch_of(4)
    moved = made(Compose([Flipd(["image", "label"], spatial_axis=1)]))(batch)
    assert torch.equal(moved["image"], batch["image"].flip(3)) and torch.equal(moved["label"], batch["label"].flip(3))


def test_masks_and_planes_that_would_be_left_behind_are_refused_and_classes_are_not():
    batch = batch_of(2)
    for moves in (Compose([ScaleIntensityd("image"), RandFlipd("image", prob=1.0)]), OneOf([RandFlipd("image")])):
        with pytest.raises(InputError):
            EachImaged(moves)(batch)
        with pytest.raises(InputError):
            EachImaged(moves)({"image": batch["image"], "planes": torch.zeros(2, 2, 2, 3)})
        EachImaged(moves)(batch | {"label": torch.tensor([0, 1])})


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
