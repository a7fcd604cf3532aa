"""Restored images: their scores for `PretextReport`, and a restored stack for MONAI Label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.evaluation.writers import no_labels
from planewise.metrics.pretexts import mean_of_seen, restoration_errors


@dataclass(eq=False, repr=False)
class RestorationScores:
    """A `Collector` of the images that a network restores.

    - ``metrics.json``: ``restoration``: mean squared errors of ``hidden`` and of visible pixels (``kept``), over the images
      that have such pixels, for the network (``restored``), the network's input image (``unchanged``) and the mean of its
      visible pixels (``mean``), which is also the ``chance`` of hidden pixels; and the number of images;
    - ``slices.csv``: ``hidden_error`` and ``kept_error`` of the network.

    Targets contain ``restored`` ``(B, C, ...)``, the target, and ``hidden`` ``(B, 1, ...)``, bool.

    Args:
        spoilt: whether visible pixels are changed, too (Models Genesis); the mean is then computed from the target image.
    """

    spoilt: bool = False

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        wanted, hidden = batch.target["restored"], batch.target["hidden"]
        # the visible part of a corrupted image has a different mean
        mean = mean_of_seen(wanted if self.spoilt else batch.image, hidden)
        answers = (batch.prediction, batch.image, mean)
        return {
            name: torch.stack([restoration_errors(answer, wanted, where) for answer in answers], dim=1)
            for name, where in (("hidden", hidden), ("kept", ~hidden))
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        scores: dict[str, Any] = {}
        for name in ("hidden", "kept"):
            errors = taken[name].double()
            known = errors[errors.isfinite().all(dim=1)]
            scores[name] = dict(zip(("restored", "unchanged", "mean"), known.mean(dim=0).tolist(), strict=True))
        scores["hidden"] |= {"chance": scores["hidden"]["mean"], "lower_is_better": True}
        scores["images"] = len(items)
        columns = {f"{name}_error": taken[name][:, 0].tolist() for name in ("hidden", "kept")}
        return CollectorResults({"restoration": scores}, columns)


class RestoredImaged(Transform):
    """Move a restored image out of ``pred``, which MONAI Label shows as labels.

    Reads ``image`` and ``pred``, ``(1, i, j, slices)``. Writes ``restored``, the content of ``pred``, and ``pred``: labels of
    zero, uint8.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, restored = data["image"], torch.as_tensor(data["pred"]).float()
        moved = MetaTensor(restored, meta=image.meta) if isinstance(image, MetaTensor) else restored
        return {**data, "pred": no_labels(image), "restored": moved}
