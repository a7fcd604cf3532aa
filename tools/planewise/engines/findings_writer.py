"""Write what a diagnosis found in each exam."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.networks.saliency import saliency_maps
from planewise.reports.findings_figures import Decision, saliency_figure
from planewise.reports.tables import write_csv, write_json
from planewise.transforms.exam_name import loaded_name
from planewise.transforms.plan_views import RESEARCH_ONLY

logger = logging.getLogger(__name__)


class FindingsWriter:
    """For every stack write the probabilities of the findings into ``output_dir``.

    - ``<exam>/findings.json`` and ``<exam>/saliency.png``: probabilities, and for each finding the slices that decided
      (numbers in the series, from 1) and where on them;
    - ``predictions.csv``: all exams.

    Attach it to the evaluator of an inference config, which decollates.

    Args:
        output_dir: folder.
        network: whose saliency is drawn.
        tasks: names of the findings.
        layer: see `saliency_maps`.
    """

    def __init__(
        self, output_dir: str | Path, network: nn.Module, tasks: Sequence[str], layer: str = "encoder.features.11"
    ) -> None:
        self.folder = Path(output_dir)
        self.network = network
        self.tasks = tuple(tasks)
        self.layer = layer

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            image = output["image"]
            exam = loaded_name(image)
            probabilities = torch.as_tensor(output["pred"]).float().cpu().tolist()
            self._rows.append(
                {"exam": exam, **{f"p({task})": p for task, p in zip(self.tasks, probabilities, strict=True)}}
            )
            numbers = [int(rank) + 1 for rank in item.get("kept_slices", range(image.shape[-1]))]
            pixels = torch.as_tensor(image)
            rows = []
            for column, (task, probability) in enumerate(zip(self.tasks, probabilities, strict=True)):
                maps = saliency_maps(self.network, pixels.to(engine.state.device), column, self.layer).cpu().numpy()
                rows.append(Decision(f"{task} {probability:.2f}", np.asarray(pixels[0].cpu()), maps, numbers))
            decided = {
                task: [{"slice": row.number(index), "share": round(share, 3)} for index, share in row.decisive(3)]
                for task, row in zip(self.tasks, rows, strict=True)
            }
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            found = {
                "note": RESEARCH_ONLY,
                "probabilities": dict(zip(self.tasks, probabilities, strict=True)),
                "decisive_slices": decided,
            }
            write_json(folder / "findings.json", found)
            saliency_figure(rows, f"exam {exam}. {RESEARCH_ONLY}").savefig(folder / "saliency.png", dpi=110)
            text = ", ".join(f"{task} {p:.2f}" for task, p in zip(self.tasks, probabilities, strict=True))
            logger.info("exam %s: %s", exam, text)

    def _write(self, engine: Engine) -> None:
        if self._rows:
            columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
            write_csv(self.folder / "predictions.csv", columns)
