"""Networks of named parts, some of which may be frozen, and heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Conv
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.utils import fuse_conv_bn_eval

from planewise.settings import parse_bool


class NamedParts(nn.Module):
    """A network with named parts (`encoder`, `decoder`, `head`), by which weights move between bundles (`load_pretrained`). A
    frozen part is not trained, and keeps its batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: tuple[str, ...] = ()

    def freeze(self, names: Sequence[str]) -> None:
        """Stop training the named parts. Call this after the parts are assigned."""
        self.frozen = tuple(names)
        for name in self.frozen:
            getattr(self, name).requires_grad_(False)

    def release(self) -> None:
        """Train the frozen parts again."""
        for name in self.frozen:
            getattr(self, name).requires_grad_(True).train(self.training)
        self.frozen = ()

    def train(self, mode: bool = True) -> NamedParts:
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self


def normalises_by_batch(network: nn.Module) -> bool:
    """Whether a network has batch normalisation, which uses statistics of the whole batch in training."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def fold_batch_norm(network: nn.Module) -> None:
    """Prepare a network for inference alone: give each of MONAI's convolutions the batch normalisation that follows it, as
    other weights and biases, which saves a quarter of a U-Net's time. The outputs are equal up to rounding."""
    network.eval()
    for block in network.modules():
        after = getattr(block, "adn", None) if isinstance(block, Convolution) else None
        if isinstance(norm := getattr(after, "N", None), nn.modules.batchnorm._BatchNorm) and after[0] is norm:
            block.conv = fuse_conv_bn_eval(block.conv, norm, isinstance(block.conv, _ConvTransposeNd))
            del after.N


class EmbeddingNet(NamedParts):
    """An encoder, followed by average pooling of its deepest level, as contrastive methods train and transfer it.

    Args:
        encoder: module that returns the features of every level, finest first, and has the attribute ``out_channels``.

    `forward` is `encoder_features`, for TorchScript.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.out_channels = int(encoder.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[-1].flatten(2).mean(dim=2)


def encoder_features(network: nn.Module, image: Tensor) -> Tensor:
    """The features of images: averages over the deepest level of an encoder, which every pretext has.

    Args:
        network: network with an ``encoder`` that returns the features of its levels, finest first.
        image: the encoder's input, ``(B, C, H, W)`` or, for volumes, ``(B, C, H, W, D)``.

    Returns:
        ``(B, encoder.out_channels)``.
    """
    return network.encoder(image)[-1].flatten(2).mean(dim=2)


class SliceNet(NamedParts):
    """The network of all bundles that predict maps or locations, in 2D or 3D, with an `encoder`, a `decoder` and a `head`.

    The output is a single tensor, ``(B, C, H, W)`` or, for volumes, ``(B, C, H, W, D)``, so that every MONAI tool works.
    Its first channels are the maps (heatmaps or class logits), from a 1x1 convolution on the decoder's output. If there
    is a ``location`` head, the last channel is the relative location, which is constant over the image.

    Args:
        encoder: module that returns the features of every level, finest first.
        decoder: module that combines these features to one map on the image's grid, and has ``out_channels``.
        num_maps: number of maps; 0 needs no decoder.
        location: head on the encoder's last features, which returns ``(B, 1)``; None if no location is predicted.
        frozen: parts (``"encoder"``, ``"decoder"``) that are not trained.
        spatial_dims: 2 for images, 3 for volumes; it must be the same as for the parts.
        background_prob: probability of class 0 that a new segmentation head predicts everywhere; the other classes share the
            rest (Lin 2017, focal loss, section 4.1, for two classes), so that the network need not learn how rare they are.
            None keeps torch's initialisation: all classes have about the same probability.

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


class SharedEncoderNet(NamedParts):
    """Classify several pieces of an image together. Each piece goes through the same `encoder`.

    The pieces are two slices to be ordered (Zhang, P. et al. 2017), or the tiles of a jigsaw puzzle (Noroozi and Favaro
    2016). The features of each piece are averages over the encoder's deepest level; those of all pieces are concatenated,
    and go through the fully connected layers of the `head`.

    Args:
        encoder: module that returns the features of every level of a piece, finest first, and has ``out_channels``.
        pieces: number of pieces, P.
        num_outputs: number of logits.
        head_features: widths of the head's layers before the last, each followed by ReLU.
        piece_features: width of a fully connected layer that first reduces the features of each piece (Taleb 2020, appendix
            A: "each extracted patch is represented using an embedding vector"); None adds no such layer.

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
        each = image.unflatten(1, [self.pieces, image.shape[1] // self.pieces]).flatten(0, 1)
        features = self.encoder(each)[-1].flatten(2).mean(dim=2)
        return self.head(self.embedding(features).reshape(image.shape[0], -1))


class ProjectionHead(nn.Module):
    """Fully connected layers with batch normalisation and ReLU between them: two in the projectors of SimCLR and BYOL and in
    BYOL's predictor; three, followed by another normalisation, in SimSiam's projector.

    Args:
        in_channels, hidden, out_channels: widths of the embedding, of all layers except the last, and of the last.
        norm, layers: ``"batch"`` or ``"none"``, and the number of layers.
        last_norm: whether the last layer is also followed by a normalisation.

    `forward` takes ``(B, in_channels)`` and returns ``(B, out_channels)``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        norm: str = "batch",
        layers: int = 2,
        last_norm: bool | str = False,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in [in_channels, *[hidden] * (layers - 2)]:
            # there is no bias before a normalisation, because the normalisation would remove it
            parts += [nn.Linear(width, hidden, bias=norm == "none"), *_norm(norm, hidden), nn.ReLU(inplace=True)]
        # MONAI's ckpt_export and onnx_export pass false as text
        last = _norm(norm, out_channels) if parse_bool(last_norm, "last_norm") else []
        self.layers = nn.Sequential(*parts, nn.Linear(hidden, out_channels, bias=not last), *last)
        self.out_channels = out_channels

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(embedding)


def _norm(norm: str, width: int) -> list[nn.Module]:
    return [nn.BatchNorm1d(width)] if norm == "batch" else []


class LocationHead(nn.Module):
    """Predict the location from averages of the encoder's last features by one linear layer (Zhang 2024, Fig. 1, bottom).

    `forward` takes ``(B, in_channels, h, w)``, or ``(..., d)`` with ``spatial_dims`` 3, and returns ``(B, 1)``.
    """

    def __init__(self, in_channels: int, spatial_dims: int = 2) -> None:
        super().__init__()
        self.axes = list(range(2, 2 + spatial_dims))
        self.layers = nn.Sequential(nn.Linear(in_channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features.mean(dim=self.axes))
