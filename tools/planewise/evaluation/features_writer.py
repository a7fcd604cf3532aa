"""Write the features of a stack's slices."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planewise.atomic_write import atomic_write
from planewise.evaluation.exam_writer import ExamWriter
from planewise.reports.tables import write_csv

logger = logging.getLogger(__name__)


class FeaturesWriter(ExamWriter):
    """For every stack, write the features of its slices into ``output_dir/<exam>/``.

    - ``features.npy``: ``(slices, D)``, float32, with the slices in the stack's order;
    - ``features.csv``: the same with six digits: ``slice``, counted from 0, and a column for each feature.

    Attach it to the evaluator of an inference config, after `SliceFeaturesd`.

    Args:
        output_dir: folder.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        features = output["features"]
        with atomic_write(folder / "features.npy") as part, open(part, "wb") as file:
            np.save(file, features)
        columns = {f"feature{number}": column.tolist() for number, column in enumerate(features.T)}
        write_csv(folder / "features.csv", {"slice": range(len(features)), **columns})
        # a photograph and a volume have one row
        of = f" of each of {len(features)} slices" if len(features) > 1 else ""
        logger.info("exam %s: %d features%s", exam, features.shape[1], of)
