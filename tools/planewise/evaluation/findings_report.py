"""Evaluation of findings: tables and pictures from one pass over the exams."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from planewise.data import StackDataset
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.report import ProbabilitiesReport
from planewise.exams.words import listed
from planewise.metrics import finding_scores
from planewise.networks.saliency import saliency_maps
from planewise.reports.classification_figures import Decision, findings_roc_figure, saliency_figure
from planewise.reports.tables import write_csv

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class FindingsReport(ProbabilitiesReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``metrics.json``: AUC of each finding and their mean (Zhang 2024 Table 5), sensitivity and specificity at one half;
    - ``predictions.csv``: each exam's probabilities and labels, by its hash;
    - ``roc.png``; and ``saliency.png``: for each finding, the exams with the most confident predictions, with the
      decisive slices and regions.

    `ProbabilitiesReport` describes the evaluator's pass over the exams.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's stacks.
        network: network whose saliency is drawn.
        tasks: names of the findings.
        examples: number of exams shown for each finding.
        title: title of the picture, such as the data's name.
    """

    dataset: StackDataset
    tasks: Sequence[str]
    examples: int = 2
    title: str = ""

    def write(self) -> dict[str, Any]:
        probabilities = self.collected()
        labels = self.dataset.labels[self.index].numpy()
        columns: dict[str, Any] = {"exam": self.exams()}
        for column, task in enumerate(self.tasks):
            columns[f"p({task})"] = probabilities[:, column].tolist()
            columns[task] = ["" if np.isnan(value) else int(value) for value in labels[:, column]]
        write_csv(self.folder / "predictions.csv", columns)
        scores = finding_scores(probabilities, labels, self.tasks)
        if lacking := [task for task, auc in scores["auc"].items() if auc is None]:
            logger.warning(
                "no AUC for %s: the test exams have only one of the two labels; macro_auc is the mean of the other findings",
                listed(lacking),
            )
        with only_a_picture("roc.png"):
            figure = findings_roc_figure(probabilities, labels, self.tasks, scores, self.title)
            figure.savefig(self.folder / "roc.png", dpi=110)
        with only_a_picture("saliency.png"):
            self._draw_saliency(probabilities, labels)
        return scores

    def _draw_saliency(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        rows = []
        for column, task in enumerate(self.tasks):
            for number in np.argsort(-probabilities[:, column], kind="stable")[: self.examples]:
                index = self.index[number]
                stack = self.dataset.__getitems__([index])["image"][0].permute(1, 2, 0)
                truth = {0.0: "absent", 1.0: "present"}.get(float(labels[number, column]), "not known")
                exam = self.dataset.items[index]["exam"][:6]
                caption = f"{task} {probabilities[number, column]:.2f}\ntrue: {truth}\n{exam}"
                rows.append(decision(self.network, stack, column, caption))
        if rows:
            saliency_figure(rows, self.title).savefig(self.folder / "saliency.png", dpi=100)


def decision(
    network: nn.Module, stack: torch.Tensor, finding: int, caption: str, numbers: Sequence[int] | None = None
) -> Decision:
    """The decisive slices and regions of a stack for a finding.

    Args:
        network: `planewise.networks.StackClassifier`, on any device.
        stack: the preprocessed stack, ``(i, j, S)``.
        finding: index of the network's output.
        caption: caption of the picture.
        numbers: numbers of the slices to display; 1 to S by default.
    """
    return Decision(caption, stack.cpu().numpy(), saliency_maps(network, stack[None], finding).numpy(), numbers)
