"""Classify a whole stack from its slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts, normalises_by_batch


class StackClassifier(NamedParts):
    """Run an encoder on every slice, pool its features, and apply a linear layer (Bien 2018).

    The features are averaged over each slice, and then the maximum over the slices is taken.

    Args:
        encoder: module that returns the features of every level of slices ``(N, 1, H, W)``, finest first, and has
            ``out_channels``.
        num_classes: number of outputs, one logit each.
        dropout: probability of dropout before the linear layer.
        frozen: parts (``"encoder"``) that are not trained.

    `forward` takes stacks ``(B, 1, H, W, S)`` and returns logits ``(B, num_classes)``. If the stacks of a batch have
    different numbers of slices, it also takes ``mask`` ``(B, S)``, which is true for real slices.
    """

    def __init__(self, encoder: nn.Module, num_classes: int, dropout: float = 0.5, frozen: Sequence[str] = ()) -> None:
        super().__init__()
        self.encoder = encoder
        self.by_batch = normalises_by_batch(encoder)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(encoder.out_channels, num_classes))
        self.freeze(frozen)

    # TorchScript reads the annotation, and older torch does not support `Tensor | None`
    def forward(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        batch, slices = image.shape[0], image.shape[4]
        # (b c h w s) -> ((b s) c h w); TorchScript does not support einops
        folded = image.permute(0, 4, 1, 2, 3).reshape(batch * slices, image.shape[1], image.shape[2], image.shape[3])
        if mask is None:
            pooled = self.encoder(folded)[-1].mean(dim=(2, 3))
        else:
            there = mask.to(torch.bool).reshape(-1)
            if self.by_batch and self.encoder.training:
                # padding slices are left out, because batch normalisation would learn from them; without batch
                # normalisation, they stay, because selecting slices makes the host wait for a GPU
                folded = folded[there]
            pooled = at_their_slices(self.encoder(folded)[-1].mean(dim=(2, 3)), there, -float("inf"))
        return self.head(torch.amax(pooled.reshape(batch, slices, -1), dim=1))


def at_their_slices(features: Tensor, there: Tensor, fill: float) -> Tensor:
    """Put the features of real slices at the slices' positions in the padded batch, and fill the other positions.

    Args:
        features: features of only the real slices, ``(n, C)``, or of all slices, ``(N, C)``.
        there: whether each slice is real instead of padding, ``(N,)``, bool, with n true values.
        fill: value for the padding slices.

    Returns:
        ``(N, C)``.
    """
    # both cases must also work in TorchScript
    if features.shape[0] == there.shape[0]:
        return features.masked_fill(~there[:, None], fill)
    spread = features.new_full((there.shape[0], features.shape[1]), fill)
    spread[there] = features
    return spread
