from __future__ import annotations

from functools import partial

import torch
from monai.transforms import Compose
from planewise.augmentation import RandAffineBatchd, RandBlurBatchd, RandIntensityBatchd
from planewise.networks import ByolLearner, ProjectionHead, SimClrLearner, SimSiamLearner
from planewise.pretexts import TwoViewsd

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
