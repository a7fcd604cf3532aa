"""A network of an encoder, a decoder and a head, which returns a single tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class SliceNet(NamedParts):
    """The network of all bundles that predict maps or locations, in 2D or 3D, with an `encoder`, a `decoder` and a `head`.

    The output is a single tensor, ``(B, C, H, W)`` or, for volumes, ``(B, C, H, W, D)``, so that every MONAI tool works.
    Its first channels are the maps (heatmaps or class logits), from a 1x1 convolution on the decoder's output. If there
    is a ``location`` head, the last channel is the relative location, which is constant over the image.

    Args:
        encoder: module that returns the features of every level, finest first.
        decoder: module that combines these features to one map on the image's grid, and has ``out_channels``; None if
            there are no maps.
        num_maps: number of maps; 0 needs no decoder.
        location: head on the encoder's last features, which returns ``(B, 1)``; None if no location is predicted.
        frozen: parts (``"encoder"``, ``"decoder"``) that are not trained and keep their batch statistics.
        spatial_dims: 2 for images, 3 for volumes; it must be the same as for the parts.
        background_prob: probability of class 0 that a new segmentation head predicts everywhere; the other classes share the
            rest (Lin 2017, focal loss, section 4.1, for two classes). The network then does not have to learn first how
            rare the other classes are. With None, torch's initialisation is kept, which gives all classes about the same
            probability.

    Example:
        >>> encoder = UNetEncoder(features=(16, 32, 64))
        >>> SliceNet(encoder, UNetDecoder(features=(16, 32, 64)), num_maps=2, location=LocationHead(64))
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None = None,
        num_maps: int = 0,
        location: nn.Module | None = None,
        frozen: Sequence[str] = (),
        spatial_dims: int = 2,
        background_prob: float | None = None,
    ) -> None:
        super().__init__()
        if background_prob is not None and not (num_maps > 1 and 0 < background_prob < 1):
            raise ValueError(
                "background_prob must be between 0 and 1 and needs two maps or more, "
                f"got {background_prob} and {num_maps} maps"
            )
        if num_maps and decoder is None:
            raise ValueError(f"{num_maps} maps need a decoder, but decoder is None")
        if not num_maps and location is None:
            raise ValueError("there is nothing to predict; set num_maps, a location head, or both")
        self.encoder = encoder
        self.decoder = decoder if num_maps else None
        maps = Conv["conv", spatial_dims](decoder.out_channels, num_maps, kernel_size=1) if num_maps else None
        if background_prob is not None:
            others = [(1 - background_prob) / (num_maps - 1)] * (num_maps - 1)
            shares = torch.tensor([background_prob, *others])
            maps.bias.data.copy_(shares.log())
        self.head = _Head(maps, location)
        self.freeze(frozen)

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(image)
        decoded = self.decoder(features) if self.decoder is not None else image
        return self.head(decoded, features[-1])


class _Head(nn.Module):
    """Concatenate maps and location. Either may be None; TorchScript then removes its branch."""

    def __init__(self, maps: nn.Module | None, location: nn.Module | None) -> None:
        super().__init__()
        self.maps = maps
        self.location = location

    def forward(self, decoded: Tensor, deepest: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        if self.maps is not None:
            outputs.append(self.maps(decoded))
        if self.location is not None:
            location = self.location(deepest)
            grid = list(decoded.shape[2:])
            outputs.append(location.reshape(list(location.shape) + [1] * len(grid)).expand(list(location.shape) + grid))
        return torch.cat(outputs, dim=1)
