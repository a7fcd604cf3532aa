"""Write the features of a stack's slices."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events

from planewise.preprocessing.exam_name import loaded_name
from planewise.reports.tables import write_csv
from planewise.whole_files import written_whole

logger = logging.getLogger(__name__)


class FeaturesWriter:
    """For every stack write the features of its slices into ``output_dir/<exam>/``.

    - ``features.npy``: ``(slices, D)``, float32, the slices in the stack's order;
    - ``features.csv``: the same with six digits: ``slice``, counted from 0, and a column for each feature.

    Attach it to the evaluator of an inference config, after `SliceFeaturesd`.

    Args:
        output_dir: folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for output in engine.state.output:
            exam, features = loaded_name(output["image"]), output["features"]
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(folder / "features.npy") as part, open(part, "wb") as file:
                np.save(file, features)
            columns = {f"feature{number}": column.tolist() for number, column in enumerate(features.T)}
            write_csv(folder / "features.csv", {"slice": range(len(features)), **columns})
            logger.info("exam %s: %d features of each of %d slices", exam, features.shape[1], len(features))
