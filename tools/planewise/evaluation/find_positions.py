"""Turn the classes of a stack's pixels into anatomical positions in patient space, and judge whether they can be trusted."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import convert_to_tensor

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.plan_views import slice_affines, with_grid_of
from planewise.geometry import cross_residual, find_squares, square_names
from planewise.reports.pretext_figures import stack_positions_figure
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import QUICK_PNG
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class FindPositionsd(Transform):
    """Find the nine squares of Bai 2019 in every slice of a stack, judge them, and return them as labels.

    Reads ``pred``, the network's ten logits for a volume ``(10, i, j, slices)``; ``image``, the preprocessed volume
    with its affine; and ``slice_affines`` if slices have their own. Writes

    - ``pred``: labels ``(1, i, j, slices)``, 0 background, 1 to 9 the squares. A slice that is not trusted has no
      labels.
    - ``positions``: a dictionary of plain values: the verdict and its reasons, and for each slice its trust values and
      the squares' centres (RAS+, mm; None for a square that was not found, or whose slice is not trusted).

    A slice is trusted if enough squares are found in it and they form the expected cross. If too few slices of a stack
    are trusted, the verdict is "no positions", and all its slices lose their labels and centres. For your own network,
    choose limits from ``trust`` in its evaluation's metrics.

    Args:
        ends: for each view, the first end of its line.
        size: side of a square, mm.
        step: distance between the centres of neighbouring squares, mm.
        min_found: minimum number of squares that must be found in a slice.
        max_residual: maximum distance of their centres from the best cross, root mean square, mm.
        min_trusted: minimum share of slices that must be trusted.
    """

    ends: Sequence[str]
    size: float
    step: float
    min_found: int = 5
    max_residual: float = 10.0
    min_trusted: float = 0.5

    def __post_init__(self) -> None:
        self.size, self.step = float(self.size), float(self.step)  # YAML reads 1e2 as a text
        self.names = square_names(self.ends)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, logits = item["image"], convert_to_tensor(item["pred"], track_meta=False).float().cpu()
        affines = slice_affines(image, item.get("slice_affines"))
        probabilities = logits.permute(3, 0, 1, 2).softmax(dim=1)
        found = find_squares(probabilities, affines, self.size)
        residuals = cross_residual(found.centres, self.step).tolist()
        slices = []
        for number, (centres, residual) in enumerate(zip(found.centres, residuals, strict=True)):
            seen = torch.isfinite(centres).all(dim=-1)
            trusted = int(seen.sum()) >= self.min_found and residual <= self.max_residual
            slices.append(
                {
                    "slice": number,
                    "trusted": trusted,
                    "found": int(seen.sum()),
                    "residual_mm": round(residual, 2) if math.isfinite(residual) else None,
                    "centres": {
                        name: [round(value, 2) for value in centre.tolist()] if here else None
                        for name, centre, here in zip(self.names, centres, seen, strict=True)
                    },
                }
            )
        count = sum(entry["trusted"] for entry in slices)
        refused = count < self.min_trusted * len(slices)
        reasons = []
        if refused:
            reasons.append(
                f"{count} of {len(slices)} slices are trusted (at least {self.min_found} squares, at most "
                f"{self.max_residual:g} mm from their cross); at least {self.min_trusted:.0%} of them are needed"
            )
        labels = probabilities.argmax(dim=1).permute(1, 2, 0)[None].to(torch.uint8)
        for entry in slices:
            if refused or not entry["trusted"]:
                # unreliable positions are not returned as numbers
                entry["centres"] = dict.fromkeys(self.names)
                labels[..., entry["slice"]] = 0
        item["positions"] = {
            "note": RESEARCH_ONLY,
            "frame": "RAS+, mm",
            "verdict": "no positions" if refused else "positions",
            "reasons": reasons,
            "slices": slices,
        }
        item["pred"] = with_grid_of(image, labels)
        return item


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
