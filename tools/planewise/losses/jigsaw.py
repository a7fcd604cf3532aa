"""Loss of jigsaw puzzles, Noroozi and Favaro 2016."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss


class JigsawLoss(TermLoss):
    """Cross-entropy of the permutation that shuffled the tiles: ``L = -1/N sum_i log p_i(permutation of puzzle i)``.

    It takes logits ``(B, permutations)`` and a dictionary with ``permutation`` ``(B,)``, int64.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        permutation = target["permutation"]
        return [Term(cross_entropy(prediction, permutation), len(permutation))]
