"""One encoder for several pieces of an image, and a head that sees them all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class SharedEncoderNet(NamedParts):
    """Logits about several pieces together, each of which goes through the same `encoder`: two slices to be ordered (Zhang,
    P. et al. 2017), the tiles of a jigsaw puzzle (Noroozi and Favaro 2016).

    The average over the encoder's deepest level makes a row of features of each piece. Those of all pieces, one after the
    other, go through the fully connected layers of the `head`; where `piece_features` is given, a fully connected layer makes
    that many of each piece's first (Taleb 2020, appendix A: "each extracted patch is represented using an embedding vector").

    Args:
        encoder: gives the features of every level of a piece, finest first; has ``out_channels``.
        pieces: number of pieces, P.
        num_outputs: logits.
        head_features: widths of the head's layers before the last, each followed by ReLU.
        piece_features: width of the layer between a piece's averages and the head; None: there is no such layer.

    `forward` takes ``(B, P * C, H, W)``, the C channels of one piece after those of the other, or of volumes
    ``(B, P * C, H, W, D)``, and returns ``(B, num_outputs)``.
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
            raise ValueError("the image has other channels than its pieces; see `pieces` of the network")
        each = image.unflatten(1, [self.pieces, image.shape[1] // self.pieces]).flatten(0, 1)
        features = self.encoder(each)[-1].flatten(2).mean(dim=2)
        return self.head(self.embedding(features).reshape(image.shape[0], -1))
