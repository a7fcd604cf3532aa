"""Evaluation of grading: tables and pictures from one pass over the photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from torch import nn

from planewise.data import PhotographDataset
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.report import ProbabilitiesReport, convergence
from planewise.metrics import grade_scores, predicted_grades
from planewise.networks.saliency import saliency_maps
from planewise.reports.classification_figures import Graded, confusion_figure, photographs_figure
from planewise.reports.tables import write_csv


@dataclass(eq=False, repr=False)
class GradingReport(ProbabilitiesReport):
    """Write the results of an evaluator's pass over graded photographs into a folder.

    - ``predictions.csv``: each photograph's true grade and predicted grade, by its hash, and the probability of each
      grade or a higher one;
    - ``metrics.json``: quadratic weighted kappa (Taleb 2020, section 4.3) and the other values of
      `planewise.metrics.grade_scores`; ``epochs``, the number of trained epochs, and ``converged_epoch``
      (`epochs_to_converge`; if nothing is learned, this is an early epoch);
    - ``confusion.png``;
    - ``photographs.png``: the photographs with the worst grading, and where the network looked.

    The evaluator's outputs contain logits ``pred`` ``(B, thresholds)``, see `ProbabilitiesReport`.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's photographs.
        network: the network whose saliency is drawn.
        grades: names of the grades, in order.
        history: the run's ``history.csv``; without it, the epochs are left out.
        examples: number of photographs in ``photographs.png``.
        title: title of the pictures, such as the data's name.
    """

    dataset: PhotographDataset
    grades: Sequence[str]
    history: str | Path | None = None
    examples: int = 8
    title: str = ""

    def _start(self, engine: Engine) -> None:
        super()._start(engine)
        self._true: list[int] = []

    def _collect(self, engine: Engine) -> None:
        super()._collect(engine)
        self._true += engine.state.output["label"].tolist()

    def write(self) -> dict[str, Any]:
        probabilities = self.collected()
        predicted = predicted_grades(probabilities)
        scores = grade_scores(probabilities, self._true, self.grades) | convergence(self.history)
        columns: dict[str, Any] = {"exam": self.exams(), "true": self._true, "predicted": predicted.tolist()}
        columns |= {f"p({name} or above)": probabilities[:, k].tolist() for k, name in enumerate(self.grades[1:])}
        write_csv(self.folder / "predictions.csv", columns)
        with only_a_picture("confusion.png"):
            confusion_figure(scores, self.grades, self.title).savefig(self.folder / "confusion.png", dpi=110)
        with only_a_picture("photographs.png"):
            self._draw(probabilities, predicted)
        return scores

    def _draw(self, probabilities: np.ndarray, predicted: np.ndarray) -> None:
        apart = np.abs(predicted - np.array(self._true))
        worst = np.argsort(-apart, kind="stable")[: self.examples]
        shown = []
        for number in worst:
            index, grade = self.index[number], int(predicted[number])
            image = self.dataset.__getitems__([index])["image"][0]
            exam, true = self.dataset.items[index]["exam"], self.grades[self._true[number]]
            caption = f"{exam[:6]}: {self.grades[grade]}\ntrue: {true}"
            shown.append(decided(self.network, image, grade, caption))
        if shown:
            photographs_figure(shown, self.title).savefig(self.folder / "photographs.png", dpi=100)


def decided(network: nn.Module, image: torch.Tensor, grade: int, caption: str) -> Graded:
    """A photograph with the places that support its grade; for grade 0, with the places that support any higher grade.

    Args:
        network: the network, on any device.
        image: the preprocessed photograph, ``(3, i, j)``.
        grade: the predicted grade.
        caption: caption of the picture.
    """
    (saliency,) = saliency_maps(network, image, max(grade, 1) - 1)
    return Graded(caption, image.cpu().numpy(), saliency.numpy())
