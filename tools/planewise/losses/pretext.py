"""Losses of the pretexts on planes, locations, order and restored images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from planewise.losses.terms import Term, TermLoss, mean_over_known

#: Label of pixels whose class is unknown, as in `planewise.geometry.square_labels`.
_UNKNOWN = -1


def predicted_location(prediction: Tensor) -> Tensor:
    """The location, ``(B,)``, from the last channel, which is constant over the image or volume."""
    first = (0,) * (prediction.ndim - 2)
    corner: tuple[slice | int, ...] = (slice(None), -1, *first)
    return prediction[corner]


class RelativeOrientationLoss(TermLoss):
    """Mean squared difference of heatmaps, Zhang 2024 Eq. (2).

    ``L_ori = 1 / (N K |Omega|) sum_i sum_k sum_(x,y) ||G_ik(x, y) - G^_ik(x, y)||^2``, over the heatmaps that are known.

    A prediction is the network's output ``(B, C, H, W)``: the heatmaps come first, and the location channel last. The
    target is a dictionary with ``heatmaps`` ``(B, K, H, W)``; NaN is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        heatmaps = target["heatmaps"]
        known = torch.isfinite(heatmaps[:, :, :1, :1])
        difference = torch.where(known, prediction[:, : heatmaps.shape[1]] - heatmaps, 0.0)
        squared = difference.square().mean(dim=(2, 3))
        return [Term(*mean_over_known(squared.sum(), known))]


class RelativeLocationLoss(TermLoss):
    """Mean squared difference of locations, Zhang 2024 Eq. (5).

    ``L_loc = 1 / N sum_i ||l_i - l^_i||^2``, over the slices whose location is known. It takes predictions as
    above, and a dictionary with ``location`` ``(B,)``; NaN is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        location = target["location"]
        known = torch.isfinite(location)
        difference = torch.where(known, predicted_location(prediction) - location, 0.0)
        return [Term(*mean_over_known(difference.square().sum(), known))]


class MultitaskLoss(TermLoss):
    """``L_MTL = L_ori + L_loc``, Zhang 2024 Eq. (6), with a weight for each term.

    Args:
        orientation_weight, location_weight: weights of the two terms; both are one in the paper. The terms are called
            ``orientation`` and ``location`` in the log.
    """

    def __init__(self, orientation_weight: float = 1.0, location_weight: float = 1.0) -> None:
        super().__init__()
        self.orientation, self.location = RelativeOrientationLoss(), RelativeLocationLoss()
        self.weights = {"orientation": float(orientation_weight), "location": float(location_weight)}

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        losses: dict[str, TermLoss] = {"orientation": self.orientation, "location": self.location}
        return [
            replace(term, name=name, weight=self.weights[name] * term.weight)
            for name, loss in losses.items()
            for term in loss.terms(prediction, target)
        ]


class PositionLoss(TermLoss):
    """Cross-entropy of ten classes (nine squares and the background) over the pixels whose class is known (Bai 2019,
    section 2).

    ``L = - 1 / |K| sum_(x in K) log p_y(x)(x)``, where K are these pixels and p is the softmax of the logits. It takes
    logits ``(B, 10, H, W)`` and a dictionary with ``squares`` ``(B, H, W)``, int64; -1 is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        squares = target["squares"]
        total = cross_entropy(prediction.float(), squares, ignore_index=_UNKNOWN, reduction="none").sum(
            dtype=torch.float32
        )
        return [Term(*mean_over_known(total, squares != _UNKNOWN))]


class RestorationLoss(TermLoss):
    """Mean squared difference between the restored image and the target, for Models Genesis (Zhou et al. 2019) and masked
    autoencoders (He et al. 2022).

    ``L = 1 / |K| sum_(x in K) (f(x) - g(x))^2``, where f is the network's output, g the target and K a set of pixels.

    It takes predictions ``(B, C, H, W)`` and a dictionary with ``restored``, of the same shape, and, if ``hidden_only`` is
    true, ``hidden`` ``(B, 1, H, W)``, bool. Volumes have a further axis ``D`` after ``H, W``.

    Args:
        hidden_only: whether K contains only the hidden pixels (He et al. 2022, section 3, "Reconstruction target")
            instead of all pixels.
    """

    def __init__(self, hidden_only: bool = False) -> None:
        super().__init__()
        self.hidden_only = bool(hidden_only)

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        squares = (prediction.float() - target["restored"].float()).square()
        if not self.hidden_only:
            return [Term(squares.mean(), squares.numel())]
        hidden = target["hidden"].expand_as(squares)
        return [Term(*mean_over_known((squares * hidden).sum(), hidden))]


class SliceOrderLoss(TermLoss):
    """Binary cross-entropy of the order of two slices (Zhang, P. et al. 2017).

    ``L = -1/N sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)]``, where ``p_i`` is the predicted probability that the first
    slice of pair i is nearer to the beginning of the stack than the second. ``y_i`` is 1 if it is nearer, otherwise 0.

    It takes logits ``(B, 1)`` and a dictionary with ``first_is_nearer`` ``(B,)``.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        nearer = target["first_is_nearer"]
        return [Term(binary_cross_entropy_with_logits(prediction[:, 0], nearer), len(nearer))]
