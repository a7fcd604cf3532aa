"""A network with one encoder for several pieces of an image, and a head that sees all pieces."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class SharedEncoderNet(NamedParts):
    """Classify several pieces of an image together. Each piece goes through the same `encoder`.

    The pieces are two slices to be ordered (Zhang, P. et al. 2017), or the tiles of a jigsaw puzzle (Noroozi and Favaro
    2016). The features of each piece are averages over the encoder's deepest level. With `piece_features`, a fully
    connected layer reduces the features of each piece to this width (Taleb 2020, appendix A: "each extracted patch is
    represented using an embedding vector"). The features of all pieces are concatenated, and go through the fully
    connected layers of the `head`.

    Args:
        encoder: module that returns the features of every level of a piece, finest first, and has ``out_channels``.
        pieces: number of pieces, P.
        num_outputs: number of logits.
        head_features: widths of the head's layers before the last, each followed by ReLU.
        piece_features: width of the layer that reduces the features of each piece; None adds no such layer.

    `forward` takes ``(B, P * C, H, W)`` or, for volumes, ``(B, P * C, H, W, D)``, with the C channels of one piece after
    another, and returns ``(B, num_outputs)``.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pieces: int,
        num_outputs: int,
        head_features: Sequence[int] = (),
        piece_features: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pieces = int(pieces)
        averages = encoder.out_channels
        self.embedding = nn.Identity() if piece_features is None else nn.Linear(averages, piece_features)
        widths = [self.pieces * (piece_features or averages), *head_features]
        layers: list[nn.Module] = []
        for width, following in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(width, following), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*layers, nn.Linear(widths[-1], num_outputs))

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[1] % self.pieces != 0:
            raise ValueError(
                "the number of channels must be a multiple of the network's `pieces`; give it images "
                "with all pieces as channels"
            )
        each = image.unflatten(1, [self.pieces, image.shape[1] // self.pieces]).flatten(0, 1)
        features = self.encoder(each)[-1].flatten(2).mean(dim=2)
        return self.head(self.embedding(features).reshape(image.shape[0], -1))
