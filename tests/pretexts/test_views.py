"""Test random views of images."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import torch
from monai.transforms import Compose
from planewise.augmentation import RandAffineBatchd, RandBlurBatchd, RandFlipRotate90Batchd, RandIntensityBatchd
from planewise.networks import ByolLearner, ProjectionHead, SimClrLearner, SimSiamLearner
from planewise.pretexts import ExemplarViewsd, TwoViewsd

VIEW = Compose([RandAffineBatchd(180.0, (0.8, 1.5), 0.2, 0.5), RandIntensityBatchd(0.5, 0.3, 0.1), RandBlurBatchd()])


def batch_of(image):
    return {"image": image, "image_padding": image.new_zeros(len(image), 1), "index": torch.arange(len(image))}


def test_the_two_views_differ_and_come_from_the_seed():
    image = torch.randn(4, 1, 16, 16)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(TwoViewsd(VIEW)(batch_of(image))["image"])
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert not torch.isclose(made[0][:, 0], made[0][:, 1]).flatten(1).all(dim=1).any()


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


class Volumes:
    """Each of ten volumes has its own grey value."""

    def __len__(self) -> int:
        return 10

    def __getitems__(self, rows):
        return {"image": torch.tensor(rows).float()[:, None, None, None, None].expand(-1, 2, 4, 4, 4).clone()}


def rows_of(rows: list[int]) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(len(rows), 2, 4, 4, 4), "index": torch.tensor(rows)}


def test_a_negative_of_the_set_is_each_other_item_as_often_and_never_the_sample():
    torch.manual_seed(0)
    rows = [0, 3, 9] * 300
    made = ExemplarViewsd(RandFlipRotate90Batchd(), Volumes())(rows_of(rows))
    assert made["image"].shape == (900, 6, 4, 4, 4) and "order" not in made
    values = made["image"][:, 4, 0, 0, 0].long().tolist()
    for own in (0, 3, 9):
        drawn = Counter(value for row, value in zip(rows, values, strict=True) if row == own)
        assert set(drawn) == set(range(10)) - {own}
        assert all(count == pytest.approx(300 / 9, abs=20) for count in drawn.values())
