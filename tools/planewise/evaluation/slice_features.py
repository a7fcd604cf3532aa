"""Features of slices from a frozen network, also in the form that MONAI Label expects, and in files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import Tensor, nn

from planewise.atomic_write import atomic_write
from planewise.data import SliceDataset
from planewise.evaluation.exam_writer import ExamWriter
from planewise.networks import encoder_features
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import json_values, write_csv

logger = logging.getLogger(__name__)


class SliceFeaturesd(Transform):
    """Add to an item the features of its slices.

    MONAI Label shows ``pred`` as labels and returns ``result`` as JSON. If there are only features, it gets empty labels
    and the features.

    Reads ``image``, ``(C, i, j, slices)``. Writes

    - ``features``: ``(slices, D)``, a float32 array on the CPU;
    - ``result``: its earlier content, and ``features`` as plain values;
    - ``pred``, only if ``encoder_of`` is None: a label map that is zero everywhere, ``(1, i, j, slices)``, uint8.

    For a network on volumes, ``features`` has a single row for the whole volume (`planewise.engines.FeatureInferer`).

    Args:
        encoder_of: a network whose encoder computes the features of ``image``, if ``pred`` is something else; if it has no
            ``encoder``, the items stay as they are. With None, ``pred`` must be the features, ``(D, slices)``, from
            `planewise.engines.FeatureInferer`.
        inferer: a `planewise.engines.FeatureInferer`; required with ``encoder_of``.
    """

    def __init__(self, encoder_of: nn.Module | None = None, inferer: Callable[..., Any] | None = None) -> None:
        if encoder_of is not None and inferer is None:
            raise ValueError("encoder_of needs an inferer that runs its encoder; pass a FeatureInferer as inferer")
        self.encoder_of = encoder_of
        self.bare = encoder_of is not None and lacks_encoder(encoder_of)
        self.inferer = inferer

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if self.bare:
            return item
        image = item["image"]
        if self.encoder_of is None:
            features = item["pred"]
            labels = torch.zeros((1, *image.shape[1:]), dtype=torch.uint8, device=image.device)
            item["pred"] = MetaTensor(labels, meta=image.meta) if isinstance(image, MetaTensor) else labels
        else:
            with torch.no_grad():
                features = self.inferer(image[None], self.encoder_of)[0]
        item["features"] = features.T.float().cpu().numpy()
        rounded = [[float(f"{value:.6g}") for value in row] for row in item["features"]]
        item["result"] = json_values({"note": RESEARCH_ONLY, **item.get("result", {}), "features": rounded})
        return item


class FeaturesWriter(ExamWriter):
    """For every stack that has them, write the features of its slices into ``output_dir/<exam>/``.

    - ``features.npy``: ``(slices, D)``, float32, with the slices in the stack's order;
    - ``features.csv``: the same with six digits: ``slice``, counted from 0, and a column for each feature.

    Attach it to the evaluator of an inference config, after `SliceFeaturesd`.

    Args:
        output_dir: folder.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        features = output.get("features")
        if features is None:  # the network has no encoder
            return
        with atomic_write(folder / "features.npy") as part, open(part, "wb") as file:
            np.save(file, features)
        columns = {f"feature{number}": column.tolist() for number, column in enumerate(features.T)}
        write_csv(folder / "features.csv", {"slice": range(len(features)), **columns})
        # a photograph and a volume have one row
        of = f" of each of {len(features)} slices" if len(features) > 1 else ""
        logger.info("exam %s: %d features%s", exam, features.shape[1], of)


def lacks_encoder(network: nn.Module) -> bool:
    """Whether a network, such as one of MONAI's, has no ``encoder`` that computes features; if so, log a warning."""
    lacks = not hasattr(network, "encoder")
    if lacks:
        logger.warning("the network has no encoder, so no frozen features are written or scored")
    return lacks


def frozen_features(
    network: nn.Module, dataset: SliceDataset, rows: Sequence[int], inferer: Callable[..., Tensor], batch_size: int = 64
) -> Tensor:
    """The features of some preprocessed slices (`encoder_features`).

    Args:
        network: network with an ``encoder``; afterwards, it is in the same mode (training or evaluation) as before.
        dataset: the slices.
        rows: indices of the slices in the dataset.
        inferer: runs the network, such as `planewise.engines.AutocastInferer`.
        batch_size: number of slices per call of the network.

    Returns:
        ``(N, D)``, float32, on the CPU.
    """
    training = network.training
    device = next(network.parameters()).device
    found = []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            image = dataset.__getitems__(rows[start : start + batch_size])["image"].to(device)
            found.append(inferer(image, lambda image: encoder_features(network, image)).cpu())
    network.train(training)
    return torch.cat(found)
