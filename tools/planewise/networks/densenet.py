"""DenseNet121 as an encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from monai.networks.nets.densenet import DenseNet
from torch import Tensor, nn
from torch.nn.functional import relu

from planewise.errors import InputError

#: Layers of DenseNet121's four blocks (Huang 2017, Table 1).
DENSENET121_BLOCKS = (6, 12, 24, 16)
#: MONAI's names of the parts of a layer.
_LAYER = re.compile(r"(denselayer\d+)\.layers\.(norm|conv)([12])\.")


class DenseNetEncoder(DenseNet):
    """MONAI's densely connected network in 2D (Huang 2017; by default DenseNet121, a backbone of Nakashima).

    In torchvision's file of ImageNet weights (``densenet121-a639ec97.pth``), the layers inside a block have other names;
    `from_public` translates them (`load_imagenet`).

    Args:
        init_features: channels of the first convolution.
        growth_rate: channels that every layer adds.
        blocks: number of layers in each of the four blocks.

    `forward` takes ``(B, 3, H, W)`` or ``(B, 1, H, W)``; a single channel is repeated three times. It returns the features
    of five levels, finest first: the first convolution at H/2, and the end of each block at H/4 to H/32.

    Raises:
        InputError: the number of blocks is not four, or the image has fewer than 29 pixels a side.
    """

    def __init__(
        self, init_features: int = 64, growth_rate: int = 32, blocks: Sequence[int] = DENSENET121_BLOCKS
    ) -> None:
        if len(blocks) != 4:
            raise InputError(
                f"--blocks must be four numbers of layers, because a DenseNet has four blocks, got {list(blocks)}"
            )
        super().__init__(
            spatial_dims=2,
            in_channels=3,
            out_channels=1,
            init_features=init_features,
            growth_rate=growth_rate,
            block_config=tuple(blocks),
        )
        self.out_channels = int(self.class_layers.out.in_features)
        # the classifier is removed, because it is never used; training in several processes would wait for its gradient
        self.class_layers = nn.Identity()
        #: Smallest side of an image, pixels. The image is halved five times.
        self.smallest_side = 29
        #: the module whose activations saliency uses
        self.last_features = "features.norm5"

    def forward(self, image: Tensor) -> list[Tensor]:
        if image.shape[2] < 29 or image.shape[3] < 29:
            raise InputError(
                "an image or patch for DenseNet must have at least 29 pixels a side, because it is halved five times;"
                " raise image_size"
            )
        parts = self.features
        first = parts.relu0(parts.norm0(parts.conv0(image.expand(-1, 3, -1, -1))))
        second = parts.denseblock1(parts.pool0(first))
        third = parts.denseblock2(parts.transition1(second))
        fourth = parts.denseblock3(parts.transition2(third))
        # the ReLU is not in place, because saliency uses the output of the normalisation
        return [first, second, third, fourth, relu(parts.norm5(parts.denseblock4(parts.transition3(fourth))))]

    def public_names(self) -> list[str]:
        """The names of this network's weights in torchvision's file."""
        return [_public(name) for name in self.state_dict() if not name.endswith("num_batches_tracked")]

    def from_public(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the weights of a public file to the names of this network.

        Args:
            weights: weights with the names of `public_names`; weights with other names keep them.
        """
        own = {_public(name): name for name in self.state_dict()}
        return {own.get(name, name): value for name, value in weights.items()}


def _public(name: str) -> str:
    """The name of a weight in torchvision's file of 2017, such as ``denselayer1.norm.1.weight`` for
    ``denselayer1.layers.norm1.weight``."""
    return _LAYER.sub(r"\1.\2.\3.", name)
