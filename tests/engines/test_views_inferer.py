from __future__ import annotations

import torch
from planewise.engines import ViewsInferer


def test_each_view_goes_through_the_network_as_an_image():
    views = torch.randn(3, 2, 4, 5)

    def network(image: torch.Tensor) -> torch.Tensor:
        assert image.shape == (6, 1, 4, 5)
        return torch.stack([image.mean(dim=(1, 2, 3)), image.amax(dim=(1, 2, 3))], dim=1)

    embedded = ViewsInferer()(views, network)
    assert torch.allclose(embedded, torch.stack([views.mean(dim=(2, 3)), views.amax(dim=(2, 3))], dim=2))


def test_views_of_volumes_have_their_channels_together():
    views = torch.randn(2, 6, 3, 4, 5)

    def network(image: torch.Tensor) -> torch.Tensor:
        assert image.shape == (6, 2, 3, 4, 5)
        return image.mean(dim=(2, 3, 4))

    embedded = ViewsInferer(channels=2)(views, network)
    assert torch.allclose(embedded, views.mean(dim=(2, 3, 4)).unflatten(1, (3, 2)))
