"""The trained parts of a network for two tasks: its own parts, and the head of the other task."""

from __future__ import annotations

from torch import nn

#: Parts that both tasks share.
SHARED = ("encoder", "decoder")


class TwoHeadLearner(nn.Module):
    """The weights of a network, and of the head of another task on the same encoder and decoder (Bai 2019, Fig. 2d).

    The other task's network uses the encoder and the decoder of the first network instead of its own. If it has no
    decoder (for locations), it shares only the encoder. The names of the first network's weights do not change; the names
    of the other head's weights begin with ``other.``. There is no `forward`, because each task runs its own network.

    Args:
        network: the network to keep, with an `encoder`, a `decoder` and a `head`.
        other: the network of the other task, which is changed in place.

    Raises:
        ValueError: ``network`` lacks a part that ``other`` has, or its shapes differ.
    """

    def __init__(self, network: nn.Module, other: nn.Module) -> None:
        super().__init__()
        for name in SHARED:
            if getattr(other, name, None) is None:
                continue
            if _shapes(getattr(network, name, None)) != _shapes(getattr(other, name)):
                raise ValueError(f"the {name} of one network does not fit the other network")
            setattr(other, name, getattr(network, name))
        for name, part in network.named_children():
            setattr(self, name, part)
        self.other = nn.ModuleDict({name: part for name, part in other.named_children() if name not in SHARED})


def _shapes(part: nn.Module | None) -> dict[str, tuple[int, ...]]:
    return {} if part is None else {name: tuple(value.shape) for name, value in part.state_dict().items()}
