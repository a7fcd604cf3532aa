"""One encoder for several pieces of an image, and a head that sees them all."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class SharedEncoderNet(NamedParts):
    """Logits for several pieces together, each of which goes through the same `encoder`: two slices to be ordered
    (Zhang, P. et al. 2017), or the tiles of a jigsaw puzzle (Noroozi and Favaro 2016).

    The features of each piece are averaged over the encoder's deepest level. The concatenated rows of all pieces go
    through the fully connected layers of the `head`. With `piece_features`, a fully connected layer first reduces each
    piece's row to that width (Taleb 2020, appendix A: "each extracted patch is represented using an embedding vector").

    Args:
        encoder: returns the features of every level of a piece, finest first; has ``out_channels``.
        pieces: number of pieces, P.
        num_outputs: number of logits.
        head_features: widths of the head's layers before the last, each followed by ReLU.
        piece_features: width of the layer between a piece's averages and the head; None adds no such layer.

    `forward` takes ``(B, P * C, H, W)``, or for volumes ``(B, P * C, H, W, D)``, with the C channels of one piece after
    those of another, and returns ``(B, num_outputs)``.
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
            raise ValueError("the image's channels do not match its pieces; see `pieces` of the network")
        each = image.unflatten(1, [self.pieces, image.shape[1] // self.pieces]).flatten(0, 1)
        features = self.encoder(each)[-1].flatten(2).mean(dim=2)
        return self.head(self.embedding(features).reshape(image.shape[0], -1))
