"""Evaluations of classifications: of diagnoses from masks, findings, grades, and diagnoses from two phases. Each report is a
table of predictions, the scores, and pictures, from one pass over the exams."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from ignite.engine import Engine
from torch import nn

from planewise.data.stack_dataset import PHASES
from planewise.evaluation.report import Pictures, ProbabilitiesReport, Report
from planewise.metrics import classification_scores, finding_scores, grade_scores, predicted_grades
from planewise.networks import saliency_maps
from planewise.reports.classification_figures import (
    Decision,
    Graded,
    confusion_figure,
    photographs_figure,
    roc_figure,
    saliency_figure,
)
from planewise.reports.research_only import RESEARCH_ONLY, research_note
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_predictions
from planewise.words import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


def _of_classes(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any] | None, Pictures]:
    """Columns, scores and pictures of a classification, see `ProbabilitiesReport.evaluated`; ``labels`` are -1 if unknown."""
    columns: dict[str, Any] = {}
    known, scores, pictures = labels >= 0, None, {}
    if known.any():
        columns["true"] = [classes[label] if label >= 0 else "" for label in labels]
        scores = classification_scores(probabilities[known], labels[known], classes)
        truth = labels[known, None] == np.arange(len(classes))
        pictures["roc.png"] = lambda: roc_figure(probabilities[known], truth, classes, scores)
    columns["predicted"] = [classes[index] for index in probabilities.argmax(axis=1)]
    columns |= {f"p({name})": probabilities[:, index].tolist() for index, name in enumerate(classes)}
    return columns, scores, pictures


@dataclass(eq=False, repr=False)
class ClassificationReport(Report):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's features and probabilities, by its hash;
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
        self._exams: list[str] = []
        self._kept: list[list[torch.Tensor]] = []

    def _collect(self, engine: Engine) -> None:
        batch, prediction = engine.state.batch, engine.state.output["pred"]
        self._exams += list(batch["exam"])
        label = batch["label"] if "label" in batch else torch.full((len(prediction),), -1)
        self._kept.append([values.cpu() for values in (prediction, batch["image"], label)])

    def write(self) -> dict[str, Any] | None:
        probabilities, features, labels = (torch.cat(part).numpy() for part in zip(*self._kept, strict=True))
        columns, scores, pictures = _of_classes(probabilities, labels, self.classes)
        columns |= {name: features[:, index].tolist() for index, name in enumerate(self.feature_names)}
        write_predictions(
            self.folder / "predictions.csv", {"exam": self._exams} | columns, research_note(self.trained_on)
        )
        for name, draw in pictures.items():
            save_picture(self.folder / name, draw)
        return scores


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
        dataset: the evaluator's stacks, a `planewise.data.StackDataset`.
        network: network whose saliency is drawn.
        tasks: names of the findings.
        examples: number of exams shown for each finding.
        title: title of the picture, such as the data's name.
    """

    tasks: Sequence[str]
    examples: int = 2
    title: str = ""

    def evaluated(self, probabilities: np.ndarray) -> tuple[dict[str, Any], dict[str, Any], Pictures]:
        labels = self.dataset.labels[self.index].numpy()
        columns: dict[str, Any] = {}
        for column, task in enumerate(self.tasks):
            columns[f"p({task})"] = probabilities[:, column].tolist()
            columns[task] = ["" if np.isnan(value) else int(value) for value in labels[:, column]]
        scores = finding_scores(probabilities, labels, self.tasks)
        if lacking := [task for task, auc in scores["auc"].items() if auc is None]:
            logger.warning(
                "no AUC for %s: the test exams have only one of the two labels; macro_auc is the mean of the other findings",
                listed(lacking),
            )
        pictures: Pictures = {"roc.png": lambda: roc_figure(probabilities, labels, self.tasks, scores)}
        if self.examples:
            pictures["saliency.png"] = lambda: self._saliency(probabilities, labels)
        return columns, scores, pictures

    def _saliency(self, probabilities: np.ndarray, labels: np.ndarray) -> Figure:
        rows = []
        for column, task in enumerate(self.tasks):
            for number in np.argsort(-probabilities[:, column], kind="stable")[: self.examples]:
                index = self.index[number]
                stack = self.dataset.__getitems__([index])["image"][0].permute(1, 2, 0)
                truth = {0.0: "absent", 1.0: "present"}.get(float(labels[number, column]), "not known")
                exam = self.dataset.items[index]["exam"][:6]
                caption = f"{task} {probabilities[number, column]:.2f}\ntrue: {truth}\n{exam}"
                rows.append(decision(self.network, stack, column, caption))
        return saliency_figure(rows, self.title)


def decision(
    network: nn.Module, stack: torch.Tensor, finding: int, caption: str, numbers: Sequence[int] | None = None
) -> Decision:
    """The decisive slices and regions of a preprocessed stack ``(i, j, S)`` for an output of a
    `planewise.networks.StackClassifier`, on any device; ``numbers`` are the displayed numbers of the slices, 1 to S by
    default."""
    return Decision(caption, stack.cpu().numpy(), saliency_maps(network, stack[None], finding).numpy(), numbers)


@dataclass(eq=False, repr=False)
class GradingReport(ProbabilitiesReport):
    """Write the results of an evaluator's pass over graded photographs into a folder.

    - ``predictions.csv``: each photograph's true grade and predicted grade, by its hash, and the probability of each
      grade or a higher one;
    - ``metrics.json``: quadratic weighted kappa (Taleb 2020, section 4.3) and the other values of
      `planewise.metrics.grade_scores`;
    - ``confusion.png``;
    - ``photographs.png``: the photographs with the worst grading, and where the network looked.

    The evaluator's outputs contain logits ``pred`` ``(B, thresholds)``, see `ProbabilitiesReport`.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's photographs, a `planewise.data.PhotographDataset`.
        network: the network whose saliency is drawn.
        grades: names of the grades, in order.
        examples: number of photographs in ``photographs.png``.
        title: title of the pictures, such as the data's name.
    """

    grades: Sequence[str]
    examples: int = 8
    title: str = ""

    def _start(self, engine: Engine) -> None:
        super()._start(engine)
        self._true: list[int] = []

    def _collect(self, engine: Engine) -> None:
        super()._collect(engine)
        self._true += engine.state.output["label"].tolist()

    def evaluated(self, probabilities: np.ndarray) -> tuple[dict[str, Any], dict[str, Any], Pictures]:
        scores, predicted = grade_scores(probabilities, self._true, self.grades), predicted_grades(probabilities)
        columns = {"true": self._true, "predicted": predicted.tolist()}
        columns |= {f"p({name} or above)": probabilities[:, k].tolist() for k, name in enumerate(self.grades[1:])}
        pictures: Pictures = {"confusion.png": lambda: confusion_figure(scores, self.grades, self.title)}
        if self.examples:
            pictures["photographs.png"] = lambda: self._worst(predicted)
        return columns, scores, pictures

    def _worst(self, predicted: np.ndarray) -> Figure:
        apart = np.abs(predicted - np.array(self._true))
        shown = []
        for number in np.argsort(-apart, kind="stable")[: self.examples]:
            index, grade = self.index[number], int(predicted[number])
            image = self.dataset.__getitems__([index])["image"][0]
            exam, true = self.dataset.items[index]["exam"], self.grades[self._true[number]]
            shown.append(decided(self.network, image, grade, f"{exam[:6]}: {self.grades[grade]}\ntrue: {true}"))
        return photographs_figure(shown, self.title)


def decided(network: nn.Module, image: torch.Tensor, grade: int, caption: str) -> Graded:
    """A preprocessed photograph ``(3, i, j)`` with the places that support its predicted grade; for grade 0, with the places
    that support any higher grade."""
    (saliency,) = saliency_maps(network, image, max(grade, 1) - 1)
    return Graded(caption, image.cpu().numpy(), saliency.numpy())


@dataclass(eq=False, repr=False)
class TwoPhaseReport(ProbabilitiesReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's probabilities, by its hash, and its class if known;
    - ``metrics.json``, for exams with a known class: macro AUC (Nakashima 2022, Tables 1 to 3), AUC by class, accuracy,
      confusion matrix;
    - ``roc.png``, ROC curves and the confusion matrix;
    - ``saliency.png``: both phases of the exams with the most confident predictions, and where the network looked.

    The evaluator's outputs contain logits ``pred`` ``(B, classes)``, see `ProbabilitiesReport`.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's exams, a `planewise.data.TwoPhaseDataset`.
        network: network whose saliency is drawn.
        classes: names of the classes, in order.
        examples: number of exams in ``saliency.png``.
        title: title of the pictures, such as the data's name.
    """

    classes: Sequence[str]
    examples: int = 3
    title: str = ""
    note = RESEARCH_ONLY

    @staticmethod
    def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
        return torch.softmax(logits, dim=1)

    def evaluated(self, probabilities: np.ndarray) -> tuple[dict[str, Any], dict[str, Any] | None, Pictures]:
        labels = self.dataset.labels[self.index].numpy()
        columns, scores, pictures = _of_classes(probabilities, labels, self.classes)
        if self.examples:
            pictures["saliency.png"] = lambda: self._decisions(probabilities, labels)
        return columns, scores, pictures

    def _decisions(self, probabilities: np.ndarray, labels: np.ndarray) -> Figure:
        rows = []
        for number in np.argsort(-probabilities.max(axis=1), kind="stable")[: self.examples]:
            index, output = self.index[number], int(probabilities[number].argmax())
            item, image = self.dataset.items[index], self.dataset.__getitems__([index])["image"][0]
            stacks = rearrange(image, "(phase s) h w -> phase h w s", phase=2)
            maps = saliency_maps(self.network, stacks, output).numpy()
            truth = self.classes[labels[number]] if labels[number] >= 0 else "not known"
            numbers = [rank + 1 for rank in item["slices"]]
            for phase, stack, each in zip(PHASES, stacks.cpu().numpy(), maps, strict=True):
                found = f"{phase}: {self.classes[output]} {probabilities[number, output]:.2f}"
                rows.append(Decision(f"{found}\ntrue: {truth}\n{item['exam'][:6]}", stack, each, numbers))
        return saliency_figure(rows, self.title)
