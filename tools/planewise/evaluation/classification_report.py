"""Evaluation of a classification: tables and pictures from one pass over the exams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.report import Report
from planewise.metrics import classification_scores
from planewise.reports.classification_figures import roc_figure
from planewise.reports.research_only import research_note
from planewise.reports.tables import write_predictions


@dataclass(eq=False, repr=False)
class ClassificationReport(Report):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's features and probabilities, by its hash; without labels, the rows of other exams in
      an earlier table are kept;
    - for labelled exams, ``metrics.json`` (AUC, accuracy, confusion matrix; Zhang 2024 Table 3) and ``roc.png``.

    Batches contain ``image``, features ``(B, F)``, ``exam`` and, if known, ``label``; outputs contain ``pred``
    ``(B, classes)``.

    Args:
        output_dir: folder for the results.
        classes: names of the classes, in order.
        feature_names: names of the features.
        trained_on: what the weights were trained on, if not on people, such as ``phantoms``; the column ``note`` of
            predictions.csv says so in every row.
    """

    classes: Sequence[str]
    feature_names: Sequence[str]
    trained_on: str | None = None

    def _start(self, engine: Engine) -> None:
        self._batches: list[dict[str, Any]] = []

    def _collect(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        collected = {"exam": list(batch["exam"]), "features": batch["image"].cpu(), "pred": output["pred"].cpu()}
        if "label" in batch:
            collected["label"] = batch["label"].cpu()
        self._batches.append(collected)

    def write(self) -> dict[str, Any] | None:
        probabilities = torch.cat([batch["pred"] for batch in self._batches]).numpy()
        features = torch.cat([batch["features"] for batch in self._batches])
        labels = np.concatenate([batch["label"].numpy() for batch in self._batches if "label" in batch] or [[]]).astype(
            int
        )
        columns: dict[str, Any] = {"exam": [exam for batch in self._batches for exam in batch["exam"]]}
        labelled = len(labels) == len(probabilities)
        if labelled:
            columns["true"] = [self.classes[label] for label in labels]
        columns["predicted"] = [self.classes[index] for index in probabilities.argmax(axis=1)]
        columns |= {f"p({name})": probabilities[:, index].tolist() for index, name in enumerate(self.classes)}
        columns |= {name: features[:, index].tolist() for index, name in enumerate(self.feature_names)}
        keep = None if labelled else bool
        write_predictions(self.folder / "predictions.csv", columns, research_note(self.trained_on), keep)
        if not labelled:
            return None
        scores = classification_scores(probabilities, labels, self.classes)
        with only_a_picture("roc.png"):
            roc_figure(probabilities, labels, self.classes, scores).savefig(self.folder / "roc.png", dpi=110)
        return scores
