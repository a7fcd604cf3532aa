from __future__ import annotations

import pytest
import torch
from planewise.networks import SharedEncoderNet, UNetEncoder, encoder_features

FEATURES = (4, 8, 16)


def network(pieces: int = 3, **settings) -> SharedEncoderNet:
    torch.manual_seed(0)
    return SharedEncoderNet(UNetEncoder(FEATURES), pieces, 5, **settings).eval()


@pytest.mark.parametrize("head_features", [(), (7, 6)])
def test_each_piece_goes_through_the_one_encoder(head_features):
    # different pieces, because an untrained network gives much the same features for all noise
    net, image = (
        network(head_features=head_features),
        torch.randn(2, 3, 16, 16) * torch.tensor([1, 9, 81])[:, None, None],
    )
    features = torch.cat([encoder_features(net, image[:, [piece]]) for piece in range(3)], dim=1)
    assert features.shape == (2, 48)
    assert torch.allclose(net(image), net.head(features), atol=1e-5)
    widths = [layer.out_features for layer in net.head if isinstance(layer, torch.nn.Linear)]
    assert widths == [*head_features, 5] and net(image).shape == (2, 5)
    assert not torch.allclose(net(image), net(image.flip(1)), rtol=0.05), "the order of the pieces matters"


def test_pieces_of_volumes_with_several_channels():
    encoder = UNetEncoder(FEATURES, in_channels=2, spatial_dims=3)
    net = SharedEncoderNet(encoder, 2, 1).eval()
    volume = torch.randn(2, 4, 8, 8, 8)
    features = [encoder(volume[:, piece])[-1].mean(dim=(2, 3, 4)) for piece in ([0, 1], [2, 3])]
    assert torch.allclose(net(volume), net.head(torch.cat(features, dim=1)), atol=1e-6)


def test_each_piece_becomes_a_row_of_the_width_that_is_asked_for():
    net, image = network(piece_features=7, head_features=[6]), torch.randn(2, 3, 16, 16)
    rows = [net.embedding(encoder_features(net, image[:, [piece]])) for piece in range(3)]
    assert rows[0].shape == (2, 7) and net.head[0].in_features == 21
    assert torch.allclose(net(image), net.head(torch.cat(rows, dim=1)), atol=1e-5)
    assert {name for name in net.state_dict() if "embedding" in name} == {"embedding.weight", "embedding.bias"}
    assert not any("embedding" in name for name in network().state_dict())
