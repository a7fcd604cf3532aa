"""The interface between `PretextReport` and its collectors, each of which scores one part of a pretext.

A config names the collectors (`planewise.evaluation.LocationScores`, ...), each with its own settings. The report goes
over the evaluator's batches once. For every collector, it

1. passes each batch (`ScoredBatch`) to `Collector.take`, and keeps the result on the CPU;
2. concatenates the results of all batches along the first dimension after the last batch, and passes them to
  `Collector.results`.

It then writes all `CollectorResults` into one folder. A collector opens no file and keeps no state between calls, so a
test calls the two methods with hand-made tensors and reads numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Maximum number of examples in a picture.
DRAWN = 8


def drawn_examples(example: Tensor) -> list[int]:
    """Choose the samples that a picture shows, and return their numbers. An example that was seen several times is shown
    several times if there is room.

    Args:
        example: which samples are examples, ``(N,)``, bool.
    """
    return example.nonzero()[:, 0].tolist()[:DRAWN]


def middle_layer(images: Tensor, spatial_dims: int) -> Tensor:
    """Images ``(..., i, j)`` unchanged; for volumes ``(..., i, j, k)`` the middle slice of the third axis."""
    return images if spatial_dims == 2 else images[..., images.shape[-1] // 2]


def cell_layers(images: Tensor, cells_per_side: int) -> list[Tensor]:
    """For volumes ``(N, i, j, k)``, the middle slice of each layer of cells along the third axis; for images ``(N, i, j)``,
    the images themselves."""
    if images.ndim == 3:
        return [images]
    side = images.shape[-1]
    return [images[..., (2 * layer + 1) * side // (2 * cells_per_side)] for layer in range(cells_per_side)]


def drawn_at(dpi: float, draw: Callable[..., Figure], *arguments: Any) -> Callable[[], Figure]:
    """Return a function that calls ``draw`` with these arguments and sets the figure's resolution to ``dpi``."""

    def picture() -> Figure:
        figure = draw(*arguments)
        figure.set_dpi(dpi)
        return figure

    return picture


def with_accuracy(figure: Figure, title: str, what: str, scores: Mapping[str, Any]) -> Figure:
    """Add an accuracy and its chance level to the end of a figure's title."""
    figure.suptitle(f"{title}  {what}: {scores['accuracy']:.3f}, chance {scores['chance']:.3g}".strip())
    return figure


@dataclass(frozen=True)
class ScoredBatch:
    """One batch of the evaluator with B samples (slices or volumes), on the network's device."""

    image: Tensor
    """The network's input, ``(B, C, ...)``."""
    target: Tensor | Mapping[str, Tensor]
    """The target from the evaluator's ``prepare_batch``; the first dimension of each tensor is B."""
    prediction: Tensor
    """The network's output: maps ``(B, C, ...)``, logits ``(B, classes)`` or embeddings ``(B, D)``."""
    example: Tensor
    """Whether each sample is one of the few examples in every collector's pictures, ``(B,)``, bool."""


@dataclass(frozen=True)
class CollectorResults:
    """The results of one collector. Within a field, no two collectors of a report may use the same name."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """Entries of ``metrics.json``: plain values, NaN for unknown numbers. The first decimal number of an entry is its main
    score (`planewise.reports.main_score`)."""
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Columns of ``slices.csv``: one value for each sample, in the samples' order. Names end with the unit (``_mm``)."""
    tables: dict[str, dict[str, Sequence[Any]]] = field(default_factory=dict)
    """Maps the file name of a separate table (``planes.csv``) to its columns."""
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)
    """Maps a file name (``regression.png``) to a function that draws the picture, which keeps its own resolution. The
    report calls the function, so scores are written even if nothing can be drawn."""


class Collector(Protocol):
    """Scores one part of a network's prediction. See the module's docstring for the order of calls."""

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        """Select the tensors to keep from a batch.

        Returns:
            Tensors by name, with the same names for every batch. Each has one row per sample (or per example); its other
            dimensions are the same in every batch. Keep numbers rather than maps, because all samples stay in memory until
            the end.
        """

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        """Compute the scores of all samples.

        Args:
            taken: the concatenated results of `take` for all batches, on the CPU.
            items: items of the datalist, one per sample, in the order of the rows: ``exam`` (a hash), ``stack``, ``slice``,
                ``phase``.
            title: title of the pictures.
        """
