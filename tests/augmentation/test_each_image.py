"""Test MONAI's transforms, which are for one image, on batches."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CropForegroundd,
    CutMixd,
    Flipd,
    MixUpd,
    OneOf,
    RandFlipd,
    RandomOrder,
    ScaleIntensityd,
    SomeOf,
)
from planewise.augmentation import EachImaged, RandAffineBatchd, RandIntensityBatchd, whole_batches
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
    nested = Compose([theirs, ours])
    mixed = whole_batches(Compose([ours, theirs, OneOf([theirs, theirs]), OneOf([ours, ours]), nested]))
    names = [type(part).__name__ for part in mixed.transforms]
    assert names == ["RandIntensityBatchd", "EachImaged", "OneOf", "Compose"]
    assert [type(part).__name__ for part in mixed.transforms[1].transform.transforms] == ["ScaleIntensityd", "OneOf"]
    assert [type(part).__name__ for part in mixed.transforms[3].transforms] == ["EachImaged", "RandIntensityBatchd"]
    alone = Compose([ours, RandAffineBatchd(rotate=3.0)])
    assert whole_batches(alone) is alone and whole_batches(dict) is dict
    assert PrepareSliceBatch("label").augmentation is None and PrepareStackBatch().augmentation is None


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


@pytest.mark.parametrize("choice", [OneOf, RandomOrder, SomeOf])
@pytest.mark.parametrize("other", [dict, MixUpd("image", batch_size=3), Compose([dict])])
def test_a_choice_between_one_image_and_a_whole_batch_is_refused(choice, other):
    flip = Flipd("image", spatial_axis=0)
    with pytest.raises(InputError):
        whole_batches(Compose([choice([flip, other])]))
    allowed = choice([EachImaged(flip), other])
    assert whole_batches(allowed) is allowed
    assert isinstance(whole_batches(choice([flip, Compose([])])), EachImaged)


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


def test_masks_that_would_be_left_behind_are_refused_and_classes_are_not():
    batch = batch_of(2)
    for keys in ("image", "label"):
        with pytest.raises(InputError):
            EachImaged(Compose([ScaleIntensityd("image"), RandFlipd(keys, prob=1.0)]))(batch)
    with pytest.raises(InputError):
        whole_batches(OneOf([RandFlipd("image"), RandFlipd(["image", "label"])]))(batch)
    EachImaged(RandFlipd("image", prob=1.0))(batch | {"label": torch.tensor([0, 1])})


def test_targets_that_would_be_left_behind_are_refused():
    batch = {"image": batch_of(2)["image"], "planes": torch.zeros(2, 2, 2, 3)}
    with pytest.raises(InputError):
        EachImaged(Compose([ScaleIntensityd("image"), RandFlipd("image", prob=1.0)]))(batch)
    for moves in (CropForegroundd("image", source_key="image"), OneOf([ScaleIntensityd("image"), Flipd("image")])):
        with pytest.raises(InputError):
            EachImaged(moves)(batch)
    assert float(EachImaged(ScaleIntensityd("image"))(batch)["image"].max()) == 1
