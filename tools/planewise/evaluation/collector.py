"""What scores one part of a pretext: the contract between `PretextReport` and its collectors.

A config names the collectors (`planewise.evaluation.LocationScores`, `planewise.evaluation.OrientationScores`, ...), each
with its own settings. The report goes over the evaluator's batches once. To every collector it

1. shows each batch (`ScoredBatch`), and keeps what `Collector.take` gives back, on the CPU;
2. hands, after the last batch, what was kept of all batches, put together along the first dimension, to `Collector.results`.

It then writes all `CollectorResults` into one folder. A collector opens no file and remembers nothing between two calls, so a
test calls the two methods with tensors made by hand and reads numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Most examples in a picture.
DRAWN = 8


def drawn_examples(example: Tensor) -> list[int]:
    """Numbers of the samples that a picture shows: an example that was seen several times is drawn as often as there is room.

    Args:
        example: which samples are examples, ``(N,)``, bool.
    """
    return example.nonzero()[:, 0].tolist()[:DRAWN]


def middle_layer(images: Tensor, spatial_dims: int) -> Tensor:
    """Images ``(..., i, j)`` as they are; of volumes ``(..., i, j, k)`` the slice in the middle of the third axis."""
    return images if spatial_dims == 2 else images[..., images.shape[-1] // 2]


def cell_layers(images: Tensor, cells_per_side: int) -> list[Tensor]:
    """Of volumes ``(N, i, j, k)`` the slices in the middle of each layer of cells across the third axis; of images
    ``(N, i, j)`` themselves alone."""
    if images.ndim == 3:
        return [images]
    side = images.shape[-1]
    return [images[..., (2 * layer + 1) * side // (2 * cells_per_side)] for layer in range(cells_per_side)]


@dataclass(frozen=True)
class ScoredBatch:
    """One batch of the evaluator, on the network's device. B samples: slices, or volumes."""

    image: Tensor
    """The network's input, ``(B, C, ...)``."""
    target: Tensor | Mapping[str, Tensor]
    """As the evaluator's ``prepare_batch`` made it; each tensor begins with B."""
    prediction: Tensor
    """The network's one tensor: maps ``(B, C, ...)``, logits ``(B, classes)`` or embeddings ``(B, D)``."""
    example: Tensor
    """Which samples are examples, ``(B,)``, bool: the few that every collector's pictures show."""


@dataclass(frozen=True)
class CollectorResults:
    """The results of one collector; two collectors of a report share no name in any of the four."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """Entries of ``metrics.json``: plain values, NaN where a number is not known."""
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Columns of ``slices.csv``: one value for each sample, in the samples' order. A unit ends the name (``_mm``)."""
    tables: dict[str, dict[str, Sequence[Any]]] = field(default_factory=dict)
    """File name (``planes.csv``) to the columns of a table with rows of its own."""
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)
    """File name (``regression.png``) to what draws the picture, which is saved at the resolution that it has. The report
    draws, so that the scores are written where nothing can be drawn."""


class Collector(Protocol):
    """Scores one part of what a network predicts. See the module's text for who calls what."""

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        """Tensors to keep of a batch.

        Returns:
            Tensors by name, the same names for every batch. Each has one row for each sample (or for each example), and the
            same shape after that in every batch. Keep numbers, not maps: all samples are held in memory until the end.
        """

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        """The scores of all samples.

        Args:
            taken: what `take` gave, of all batches together, on the CPU.
            items: items of the datalist, one per sample, in the order of the rows: ``exam`` (a hash), ``stack``, ``slice``,
                ``phase``.
            title: title of the pictures.
        """
