from __future__ import annotations

from functools import partial

import torch
from monai.transforms import Compose
from planewise.augmentation import RandAffineBatchd, RandBlurBatchd, RandIntensityBatchd
from planewise.networks import ByolLearner, ProjectionHead, SimClrLearner, SimSiamLearner
from planewise.pretexts import ExemplarViewsd, TwoViewsd

VIEW = Compose([RandAffineBatchd(180.0, (0.8, 1.5), 0.2, 0.5), RandIntensityBatchd(0.5, 0.3, 0.1), RandBlurBatchd()])


def batch_of(image):
    return {"image": image, "image_padding": image.new_zeros(len(image), 1), "index": torch.arange(len(image))}


def test_both_views_are_of_one_slice_and_of_no_other():
    """Each slice has its own grey value, which no shift, rotation or flip can produce from another slice."""
    image = (torch.arange(6.0) + 1)[:, None, None, None].expand(6, 1, 16, 16).clone()
    torch.manual_seed(0)
    batch = TwoViewsd(RandAffineBatchd(180.0, (1.0, 1.5), 0.2, 0.5))(batch_of(image))
    views = batch["image"]
    assert views.shape == (6, 2, 16, 16)
    assert views.amax(dim=(2, 3)).round(decimals=4).tolist() == [[number, number] for number in range(1, 7)]
    assert torch.equal(batch["index"], torch.arange(6)) and (views[:, 0] != views[:, 1]).any()


def test_the_two_views_differ_and_come_from_the_seed():
    image = torch.randn(4, 1, 16, 16)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(TwoViewsd(VIEW)(batch_of(image))["image"])
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert not torch.isclose(made[0][:, 0], made[0][:, 1]).flatten(1).all(dim=1).any()


def test_two_views_of_a_batch_are_two_calls():
    """Each call covers the whole batch, whatever its number of slices."""
    batches = []

    def view(batch):
        batches.append(len(batch["image"]))
        return batch

    TwoViewsd(view)(batch_of(torch.zeros(256, 1, 4, 4)))
    assert batches == [256, 256]


def test_a_view_that_writes_into_its_batch_changes_neither_the_other_view_nor_the_batch():
    def view(batch):
        batch["image"], batch["index"] = batch["image"] + 1, None
        return batch

    given = batch_of(torch.zeros(2, 1, 4, 4))
    made = TwoViewsd(view)(given)
    assert torch.equal(made["image"], torch.ones(2, 2, 4, 4)) and torch.equal(made["index"], torch.arange(2))
    assert torch.equal(given["image"], torch.zeros(2, 1, 4, 4))
    assert torch.equal(ExemplarViewsd(view)(given)["index"], torch.arange(2))


def test_the_colours_of_a_view_stay_together():
    """A flip applies to all colours of an image. All learners run the first views, then the second ones."""
    batch = batch_of(torch.rand(8, 1, 8, 8) + torch.arange(3.0)[:, None, None])
    batch["image_padding"] = torch.zeros(8, 3)
    views = TwoViewsd(RandAffineBatchd(0.0, (1.0, 1.0), 0.0, 0.5))(batch)["image"]
    assert views.shape == (8, 6, 8, 8)
    first, second = views.chunk(2, dim=1)
    for view in (first, second):
        assert torch.allclose(view - view[:, :1], torch.arange(3.0)[:, None, None].expand_as(view), atol=1e-5)
    assert 0 < (first != second).flatten(1).any(dim=1).sum() < 8
    head = partial(ProjectionHead, hidden=4, out_channels=4, norm="none")
    for kind, heads in ((SimClrLearner, 1), (ByolLearner, 2), (SimSiamLearner, 2)):
        seen: list[torch.Tensor] = []
        net = Mean(seen)
        kind(net, *[head(in_channels=3 if not number else 4) for number in range(heads)])(views)
        assert torch.equal(torch.cat(seen)[:16], torch.cat([first, second])), kind


class Mean(torch.nn.Module):
    """Computes the mean of each colour, and keeps the images in a list."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, image):
        self.seen.append(image)
        return image.mean(dim=(2, 3))
