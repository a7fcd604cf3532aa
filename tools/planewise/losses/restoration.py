"""Loss of pretexts that restore an image: Models Genesis (Zhou et al. 2019) and masked autoencoders (He et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from planewise.losses.terms import Term, TermLoss, mean_over_known


class RestorationLoss(TermLoss):
    """Mean squared difference between the restored image and the target.

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
