"""The base class of all networks in the bundles: named parts, some of which may be frozen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


class NamedParts(nn.Module):
    """A network with named parts (`encoder`, `decoder`, `head`). Weights move between bundles by these names
    (`load_pretrained`).

    A frozen part is not trained, and keeps its batch statistics.
    """

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
