"""Base classes for the encoders and decoders of U-Nets, which define the path through the levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from planewise.errors import InputError


class LevelsEncoder(nn.Module):
    """A ``stem``, followed by ``levels``. `forward` returns the features of every level, finest first."""

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class LevelsDecoder(nn.Module):
    """``levels`` that each double the grid and concatenate the encoder's features on the new grid.

    Raises:
        ValueError: a side of the image cannot be halved as often as there are levels.
    """

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.climb(features)

    def climb(self, features: list[Tensor]) -> Tensor:
        """Run all levels, from the deepest to the finest.

        This is a separate method, because TorchScript does not support ``super().forward``.
        """
        x, times = features[-1], 2 ** (len(features) - 1)
        for axis in range(2, x.dim()):
            if features[0].shape[axis] != times * x.shape[axis]:
                raise ValueError(
                    "the U-Net needs images with sides that are multiples of stem_stride * 2^(levels - 1); change image_size"
                )
        for depth, level in enumerate(self.levels):
            x = level(x, features[len(features) - 2 - depth])
        return x


def level_pairs(features: Sequence[int]) -> list[tuple[int, int]]:
    """The channels of each level and of the next deeper level, in order from the finest level.

    Raises:
        InputError: there is only one level.
    """
    if len(features) < 2:
        raise InputError(f"--features must be at least two widths, one for each level of a U-Net, got {list(features)}")
    return list(zip(features[:-1], features[1:], strict=True))
