"""Write the anatomical positions of a stack."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.geometry import square_names
from planewise.reports.pretext_figures import stack_positions_figure
from planewise.reports.slices import QUICK_PNG
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)


class PositionWriter(ExamWriter):
    """For every stack, write its anatomical positions into ``output_dir/<exam>/``.

    - ``positions.json``: the result of `FindPositionsd`: verdict, and the squares' centres in each slice;
    - ``positions.png``: the slices with the squares.

    Attach it to the evaluator of an inference config, whose postprocessing runs `FindPositionsd` and keeps its labels on the
    network's grid as ``network_labels``. The NIfTI file comes from `SaveImaged` there.

    Args:
        output_dir: folder for the results.
        ends: for each view, the first end of its line; the squares' names come from them.
    """

    def __init__(self, output_dir: str | Path, ends: Sequence[str]) -> None:
        super().__init__(output_dir)
        self.names = square_names(ends)

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        positions = output["positions"]
        write_json(folder / "positions.json", positions)
        with only_a_picture("positions.png"):
            arrays = [np.asarray(output[key][0].cpu()) for key in ("image", "network_labels")]
            figure = stack_positions_figure(*arrays, self.names, f"{exam}: {positions['verdict']}")
            figure.savefig(folder / "positions.png", dpi=110, pil_kwargs=QUICK_PNG)
        trusted = sum(entry["trusted"] for entry in positions["slices"])
        said = f"{positions['verdict']}, {trusted} of {len(positions['slices'])} slices trusted"
        logger.info("exam %s: %s", exam, said)
