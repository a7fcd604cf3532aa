"""Handle padding slices in batches whose stacks have different numbers of slices."""

from __future__ import annotations

from torch import Tensor


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
