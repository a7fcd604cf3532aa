"""Evaluations of classifications: of diagnoses from masks, findings, grades, and diagnoses from two phases. Each report is a
table of predictions, the scores, and pictures, from one pass over the exams."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import torch
from einops import rearrange
from ignite.engine import Engine
from torch import Tensor, nn

from planewise.data.stack_dataset import PHASES
from planewise.evaluation.report import Report
from planewise.metrics import classification_scores, finding_scores, predicted_grades, quadratic_kappa
from planewise.metrics.classification import check_thresholds, confusion_and_shares
from planewise.networks import saliency_maps
from planewise.reports.classification_figures import Decision, confusion_figure, roc_figure, saliency_figure
from planewise.reports.research_only import RESEARCH_ONLY, research_note
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_predictions
from planewise.words import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns of ``predictions.csv``; the content of ``metrics.json`` (None to write no such file); and functions that draw
#: pictures, by the name of the file.
Evaluated: TypeAlias = "tuple[dict[str, Any], dict[str, Any] | None, dict[str, Callable[[], Figure]]]"
logger = logging.getLogger(__name__)


def _of_classes(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Evaluated:
    """The evaluation of a classification; ``labels`` are -1 if unknown."""
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


@dataclass(eq=False, repr=False, kw_only=True)
class ExamsReport(Report):
    """Collect an evaluator's probabilities, exam by exam; write them to ``predictions.csv``, with each exam's hash, and write
    the scores and pictures of `evaluated`.

    The evaluator must not decollate. Its batches contain ``index``, or without a dataset ``exam``; its outputs contain
    ``pred`` ``(B, ...)``.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's dataset.
    """

    dataset: Any = None
    #: A note in every row of the table.
    note: ClassVar[str | None] = None

    def kept(self, engine: Engine) -> tuple[Tensor, ...]:
        """What `evaluated` needs of a batch, ``(B, ...)`` each; the probabilities first."""
        return (torch.sigmoid(engine.state.output["pred"].float()),)

    def evaluated(self, probabilities: np.ndarray, *kept: np.ndarray) -> Evaluated:
        """Evaluate all exams, from all that was `kept`, in the order of ``self.exams``."""
        raise NotImplementedError

    def write(self) -> dict[str, Any] | None:
        columns, scores, pictures = self.evaluated(*(torch.cat(part).numpy() for part in zip(*self._kept, strict=True)))
        write_predictions(self.folder / "predictions.csv", {"exam": self.exams} | columns, self.note)
        for name, draw in pictures.items():
            save_picture(self.folder / name, draw, 100)
        return scores

    def _start(self, engine: Engine) -> None:
        self.exams: list[str] = []
        self.index: list[int] = []
        self._kept: list[list[Tensor]] = []

    def _collect(self, engine: Engine) -> None:
        batch = engine.state.batch
        index = [] if self.dataset is None else batch["index"].tolist()
        self.exams += batch["exam"] if self.dataset is None else [self.dataset.items[row]["exam"] for row in index]
        self.index += index
        self._kept.append([values.cpu() for values in self.kept(engine)])


@dataclass(eq=False, repr=False, kw_only=True)
class ClassificationReport(ExamsReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's features and probabilities, by its hash;
    - for labelled exams, ``metrics.json`` (AUC, accuracy, confusion matrix; Zhang 2024 Table 3) and ``roc.png``.

    Batches contain ``image``, features ``(B, F)``, ``exam`` and, if known, ``label``; outputs contain ``pred``,
    probabilities ``(B, classes)``.

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

    @property
    def note(self) -> str:  # type: ignore[override]
        return research_note(self.trained_on)

    def kept(self, engine: Engine) -> tuple[Tensor, ...]:
        batch, prediction = engine.state.batch, engine.state.output["pred"]
        label = batch["label"] if "label" in batch else torch.full((len(prediction),), -1)
        return prediction, batch["image"], label

    def evaluated(self, probabilities: np.ndarray, *kept: np.ndarray) -> Evaluated:
        features, labels = kept
        columns, scores, pictures = _of_classes(probabilities, labels, self.classes)
        columns |= {name: features[:, index].tolist() for index, name in enumerate(self.feature_names)}
        return columns, scores, pictures


@dataclass(eq=False, repr=False, kw_only=True)
class FindingsReport(ExamsReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``metrics.json``: AUC of each finding and their mean (Zhang 2024 Table 5), sensitivity and specificity at one half;
    - ``predictions.csv``: each exam's probabilities and labels, by its hash;
    - ``roc.png``.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's stacks, a `planewise.data.StackDataset`. The evaluator's outputs are logits ``(B, tasks)``.
        tasks: names of the findings.
    """

    tasks: Sequence[str]

    def evaluated(self, probabilities: np.ndarray, *kept: np.ndarray) -> Evaluated:
        labels = self.dataset.labels[self.index].numpy()
        columns: dict[str, Any] = {}
        for column, task in enumerate(self.tasks):
            columns[f"p({task})"] = probabilities[:, column].tolist()
            columns[task] = ["" if np.isnan(value) else int(value) for value in labels[:, column]]
        scores = finding_scores(probabilities, labels, self.tasks)
        if lacking := [task for task, auc in scores["auc"].items() if np.isnan(auc)]:
            logger.warning(
                "no AUC for %s: the test exams have only one of the two labels; macro_auc is the mean of the other findings",
                listed(lacking),
            )
        return columns, scores, {"roc.png": lambda: roc_figure(probabilities, labels, self.tasks, scores)}


@dataclass(eq=False, repr=False, kw_only=True)
class GradingReport(ExamsReport):
    """Write the results of an evaluator's pass over graded photographs into a folder.

    - ``predictions.csv``: each photograph's true grade and predicted grade, by its hash, and the probability of each
      grade or a higher one;
    - ``metrics.json``: quadratic weighted ``kappa`` (Taleb 2020, section 4.3), ``accuracy``, ``distance`` (mean absolute
      difference of grades), ``recall`` of each grade, ``confusion`` (rows are true grades) and the number of photographs;
    - ``confusion.png``.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's photographs, a `planewise.data.PhotographDataset`. The evaluator's outputs are logits
            ``(B, thresholds)`` and the true grades, ``label``.
        grades: names of the grades, in order.
        title: title of the picture, such as the data's name.
    """

    grades: Sequence[str]
    title: str = ""

    def kept(self, engine: Engine) -> tuple[Tensor, ...]:
        return (*super().kept(engine), engine.state.output["label"])

    def evaluated(self, probabilities: np.ndarray, *kept: np.ndarray) -> Evaluated:
        (true,) = kept
        check_thresholds(probabilities, self.grades)
        predicted = predicted_grades(probabilities)
        confusion, shares = confusion_and_shares(predicted, true, len(self.grades))
        scores = {
            "kappa": quadratic_kappa(true, predicted, len(self.grades)),
            "accuracy": float((predicted == true).mean()),
            "distance": float(np.abs(predicted - true).mean()),
            "recall": dict(zip(self.grades, shares.tolist(), strict=True)),
            "confusion": confusion.tolist(),
            "photographs": len(true),
        }
        columns = {"true": true.tolist(), "predicted": predicted.tolist()}
        columns |= {f"p({name} or above)": probabilities[:, k].tolist() for k, name in enumerate(self.grades[1:])}
        return columns, scores, {"confusion.png": lambda: confusion_figure(scores, self.grades, self.title)}


@dataclass(eq=False, repr=False, kw_only=True)
class TwoPhaseReport(ExamsReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's probabilities, by its hash, and its class if known;
    - ``metrics.json``, for exams with a known class: macro AUC (Nakashima 2022, Tables 1 to 3), AUC by class, accuracy,
      confusion matrix;
    - ``roc.png``, ROC curves and the confusion matrix;
    - ``saliency.png``: both phases of the exams with the most confident predictions, and where the network looked.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's exams, a `planewise.data.TwoPhaseDataset`; its outputs are logits ``(B, classes)``.
        network: network whose saliency is drawn.
        classes: names of the classes, in order.
        examples: number of exams in ``saliency.png``.
        title: title of the pictures, such as the data's name.
    """

    network: nn.Module
    classes: Sequence[str]
    examples: int = 3
    title: str = ""
    note = RESEARCH_ONLY

    def kept(self, engine: Engine) -> tuple[Tensor, ...]:
        return (torch.softmax(engine.state.output["pred"].float(), dim=1),)

    def evaluated(self, probabilities: np.ndarray, *kept: np.ndarray) -> Evaluated:
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
