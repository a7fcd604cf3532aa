"""Evaluation of a classification from two phases: tables and pictures from one pass over the exams."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from monai.networks import eval_mode
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from planewise.data import TwoPhaseDataset
from planewise.data.two_phase_dataset import PHASES
from planewise.engines import PreparePhasesBatch
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.report import ProbabilitiesReport, convergence
from planewise.metrics import classification_scores, inside_share
from planewise.networks.saliency import saliency_maps
from planewise.reports.classification_figures import Decision, roc_figure, saliency_figure
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_predictions

#: Candidate values of the logistic regression's strength (scikit-learn's C). Cross-validation on the fitted exams chooses
#: one.
_STRENGTHS = np.logspace(-4, 2, 7)
#: Maximum number of folds of that cross-validation.
_FOLDS = 5


@dataclass(eq=False, repr=False)
class TwoPhaseReport(ProbabilitiesReport):
    """Write the results of an evaluator's pass over exams into a folder.

    - ``predictions.csv``: each exam's probabilities, by its hash, and its class if known; if no class is known, the
      rows of other exams in an earlier table are kept;
    - ``metrics.json``, for exams with a known class: macro AUC (Nakashima 2022, Tables 1 to 3), AUC by class, accuracy,
      confusion matrix; ``epochs``, the number of trained epochs, and ``converged_epoch`` (`epochs_to_converge`, Fig.
      1); and ``saliency``, for exams with masks: the mean share of each phase's saliency inside the heart, the share of
      the image that the heart covers (the value for a uniform map), and the number of exams in each mean (exams whose
      map is all zeros are left out);
    - ``roc.png``, ROC curves and the confusion matrix;
    - ``saliency.png``: both phases of the exams with the most confident predictions, and where the network looked.

    The evaluator's outputs contain logits ``pred`` ``(B, classes)``, see `ProbabilitiesReport`.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's exams.
        network: network whose saliency is drawn.
        classes: names of the classes, in order.
        masked: the same exams with their masks (``heart_labels``); None leaves out the shares.
        fitted: the exams with known classes that the linear layer learned from; None leaves out the logistic regression.
        history: the run's ``history.csv``; None leaves out the epochs.
        examples: number of exams in ``saliency.png``.
        title: title of the pictures, such as the data's name.
    """

    dataset: TwoPhaseDataset
    classes: Sequence[str]
    masked: TwoPhaseDataset | None = None
    fitted: TwoPhaseDataset | None = None
    history: str | Path | None = None
    examples: int = 3
    title: str = ""

    @staticmethod
    def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
        return torch.softmax(logits, dim=1)

    def write(self) -> dict[str, Any] | None:
        probabilities = self.collected()
        labels = self.dataset.labels[self.index].numpy()
        known = labels >= 0
        columns: dict[str, Any] = {"exam": self.exams()}
        if known.any():
            columns["true"] = [self.classes[label] if label >= 0 else "" for label in labels]
        columns["predicted"] = [self.classes[index] for index in probabilities.argmax(axis=1)]
        columns |= {f"p({name})": probabilities[:, index].tolist() for index, name in enumerate(self.classes)}
        write_predictions(self.folder / "predictions.csv", columns, RESEARCH_ONLY, keep=None if known.any() else bool)
        with only_a_picture("saliency.png"):
            self._draw_saliency(probabilities, labels)
        if not known.any():
            return None
        scores = classification_scores(probabilities[known], labels[known], self.classes)
        scores |= convergence(self.history) | self._saliency(probabilities) | self._logistic_regression(known, labels)
        with only_a_picture("roc.png"):
            figure = roc_figure(probabilities[known], labels[known], self.classes, scores)
            figure.savefig(self.folder / "roc.png", dpi=110)
        return scores

    def _logistic_regression(self, known: NDArray[np.bool_], labels: NDArray[np.integer]) -> dict[str, Any]:
        """Score a logistic regression on the features of frozen encoders.

        Args:
            known: which of the exams in ``self.index`` have a known class.
            labels: classes of these exams; -1 if unknown.
        """
        if self.fitted is None or "encoder" not in getattr(self.network, "frozen", ()):
            return {}
        classes = self.fitted.labels.cpu().numpy()
        folds = min(_FOLDS, int(np.bincount(classes, minlength=len(self.classes)).min()))
        if folds < 2:
            return {}
        regression = make_pipeline(
            StandardScaler(),
            LogisticRegressionCV(Cs=_STRENGTHS, cv=folds, scoring="neg_log_loss", max_iter=10000),
        )
        features = self._features(self.fitted, range(len(classes)))
        with warnings.catch_warnings():
            # scikit-learn 1.8 and 1.9 announce new defaults, which give the same result; older versions lack their arguments
            warnings.simplefilter("ignore", FutureWarning)
            regression.fit(features, classes)
        rows = [index for index, kept in zip(self.index, known, strict=True) if kept]
        found = regression.predict_proba(self._features(self.dataset, rows))
        return {"logistic_regression": classification_scores(found, labels[known], self.classes)["macro_auc"]}

    @torch.no_grad()
    def _features(self, dataset: TwoPhaseDataset, rows: Sequence[int]) -> NDArray[np.floating]:
        """The encoders' features of exams, ``(N, 2 C)``."""
        device, prepare = next(self.network.parameters()).device, PreparePhasesBatch()
        found = []
        with eval_mode(self.network):
            for row in rows:
                image, _, _, arguments = prepare(dataset.__getitems__([row]), device)
                found.append(self.network.features(image, **arguments).float().cpu())
        return torch.cat(found).double().numpy()

    def _maps(self, batch: dict[str, torch.Tensor], output: int) -> np.ndarray:
        image = rearrange(batch["image"][0], "(phase s) h w -> phase h w s", phase=2)
        return saliency_maps(self.network, image, output).numpy()

    def _saliency(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Mean shares of the saliency over the exams with masks, each for its predicted class."""
        if self.masked is None or not len(self.masked):
            return {}
        given = dict(zip(self.exams(), probabilities.argmax(axis=1).tolist(), strict=True))
        shares: dict[str, list[float]] = {phase: [] for phase in PHASES}
        areas: dict[str, list[float]] = {phase: [] for phase in PHASES}
        for number, item in enumerate(self.masked.items):
            if item["exam"] not in given:
                continue
            batch = self.masked.__getitems__([number])
            hearts = rearrange(batch["heart"][0], "(phase s) h w -> phase s h w", phase=2).cpu().numpy() > 0
            for phase, maps, heart in zip(PHASES, self._maps(batch, given[item["exam"]]), hearts, strict=True):
                share = inside_share(maps, heart)
                if share is not None:
                    shares[phase].append(share)
                    areas[phase].append(float(heart.mean()))
        return {
            "saliency": {
                "exams": {phase: len(found) for phase, found in shares.items()},
                "inside": {phase: float(np.mean(found)) if found else None for phase, found in shares.items()},
                "by_area": {phase: float(np.mean(found)) if found else None for phase, found in areas.items()},
            }
        }

    def _draw_saliency(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        rows = []
        for number in np.argsort(-probabilities.max(axis=1), kind="stable")[: self.examples]:
            index, output = self.index[number], int(probabilities[number].argmax())
            batch = self.dataset.__getitems__([index])
            stacks = rearrange(batch["image"][0], "(phase s) h w -> phase h w s", phase=2).cpu().numpy()
            truth = self.classes[labels[number]] if labels[number] >= 0 else "not known"
            item = self.dataset.items[index]
            numbers = [rank + 1 for rank in item["slices"]]
            for phase, stack, maps in zip(PHASES, stacks, self._maps(batch, output), strict=True):
                found = f"{phase}: {self.classes[output]} {probabilities[number, output]:.2f}"
                caption = f"{found}\ntrue: {truth}\n{item['exam'][:6]}"
                rows.append(Decision(caption, stack, maps, numbers))
        if rows:
            saliency_figure(rows, self.title).savefig(self.folder / "saliency.png", dpi=100)
