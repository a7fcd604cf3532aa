"""The findings of each exam and the grade of each photograph, in the form that MONAI Label expects, and in files."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import nn

from planewise.evaluation.classification_reports import decided, decision
from planewise.evaluation.exam_writer import PredictionsWriter, no_labels
from planewise.findings import from_text, said
from planewise.metrics.classification import check_thresholds, predicted_grades
from planewise.preprocessing.load_stack import missing_slices
from planewise.reports.classification_figures import photographs_figure, saliency_figure
from planewise.reports.research_only import RESEARCH_ONLY, research_note
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)


class FindingsWriter(PredictionsWriter):
    """For every stack, write the probabilities of the findings into ``output_dir``.

    - ``<exam>/findings.json`` and ``<exam>/saliency.png``: probabilities, and for each finding the decisive slices and
      regions. Slices are counted from 1: from the patient's right for DICOM, in the file's order for a volume;
    - ``predictions.csv``: all exams.

    For a stack of the wrong kind, the files contain the reason instead of probabilities; for a stack that is probably
    of the wrong kind, they contain probabilities and a remark. The remark also reports missing slices, doubts about the
    headers, and what else the study contains, such as another knee or a second series that fits.

    Attach it to the evaluator of an inference config, which decollates.

    Args:
        output_dir: folder for the results.
        network: `planewise.networks.StackClassifier`, whose saliency is drawn.
        tasks: names of the findings.
        trained_on: what the weights were trained on, if not on people, such as ``phantoms``; noted next to every result.
    """

    def __init__(
        self, output_dir: str | Path, network: nn.Module, tasks: Sequence[str], trained_on: str | None = None
    ) -> None:
        super().__init__(output_dir, research_note(trained_on))
        self.network = network
        self.tasks = tuple(tasks)

    def diagnose(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        why_not, remarks = (from_text(item.get(key, "[]")) for key in ("why_not", "findings"))
        affines = item.get("slice_affines")
        gap = missing_slices(torch.as_tensor(affines)) if affines is not None else []
        remark = said([*why_not, *gap, *remarks])
        doubt = said([*why_not, *(each for each in remarks if each.code == "stack-unsure")])
        found = {"note": self.note, "remark": remark or None, "probabilities": None}
        if why_not:
            probabilities = {}
            logger.warning("exam %s is not judged: %s", exam, remark)
        else:
            values = torch.as_tensor(output["pred"]).float().cpu().tolist()
            probabilities = dict(zip(self.tasks, values, strict=True))
            stack = torch.as_tensor(output["image"])[0]
            numbers = [int(rank) + 1 for rank in item.get("kept_slices", range(stack.shape[-1]))]
            rows = {
                task: decision(self.network, stack, index, f"{task} {value:.2f}", numbers)
                for index, (task, value) in enumerate(probabilities.items())
            }
            # the decisive slices by their numbers, with their shares of the saliency
            decisive = {
                task: [{"slice": row.number(index), "share": round(share, 3)} for index, share in row.decisive(3)]
                for task, row in rows.items()
            }
            found |= {"probabilities": probabilities, "decisive_slices": decisive}
            title = f"exam {exam}{': ' * bool(doubt)}{doubt}.\n{self.note}"
            save_picture(folder / "saliency.png", lambda: saliency_figure(list(rows.values()), title))
            logger.info("exam %s: %s", exam, ", ".join(f"{task} {value:.2f}" for task, value in probabilities.items()))
        write_json(folder / "findings.json", found)
        return {**{f"p({task})": probabilities.get(task, "") for task in self.tasks}, "remark": remark}


class AsNumbersd(Transform):
    """Let a server return the numbers of ``pred``, one for each class.

    MONAI Label resizes every ``pred`` to the original size of the image, which fails if ``pred`` has no spatial axis
    (`monailabel.transform.post.Restored`). It leaves ``pred`` alone if the image's metadata has no original size, so
    this transform removes that entry.

    Reads ``pred``, ``(classes,)``, and ``image``. Writes ``pred`` as a float32 `MetaTensor` on the CPU, and ``image``
    without ``spatial_shape`` in its ``meta``, with unchanged voxels and affine.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item["image"]
        if isinstance(image, MetaTensor):
            meta = {key: value for key, value in image.meta.items() if key != "spatial_shape"}
            item["image"] = MetaTensor(image.as_tensor(), meta=meta, applied_operations=image.applied_operations)
        item["pred"] = MetaTensor(torch.as_tensor(item["pred"]).float().cpu())
        return item


class GradeWriter(PredictionsWriter):
    """For every photograph, write its grade into ``output_dir``.

    - ``<exam>/grade.json`` and ``<exam>/saliency.png``: the result of `GradeAnswerd`, and where the network looked;
    - ``predictions.csv``: all photographs.

    Attach it to the evaluator of an inference config, which decollates.

    Args:
        output_dir: folder for the results.
        network: the network whose saliency is drawn.
    """

    def __init__(self, output_dir: str | Path, network: nn.Module) -> None:
        super().__init__(output_dir)
        self.network = network

    def diagnose(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        found = output["result"]
        shown = (torch.as_tensor(output["image"]), found["grade"], f"grade {found['grade']}: {found['name']}")
        title = f"{exam}. {RESEARCH_ONLY}"
        save_picture(folder / "saliency.png", lambda: photographs_figure([decided(self.network, *shown)], title))
        write_json(folder / "grade.json", found)
        logger.info("exam %s: grade %d (%s)", exam, found["grade"], found["name"])
        told = {f"p({name} or above)": value for name, value in found["at_least"].items()}
        return {"grade": found["grade"], "name": found["name"], **told}


class GradeAnswerd(Transform):
    """Add to an item the grade that follows from its probabilities.

    MONAI Label shows ``pred`` as labels and returns ``result`` as JSON, so it gets empty labels and the grade.

    Reads ``image``, ``(C, i, j)``, and ``pred``, probabilities of a grade above each threshold, ``(thresholds,)``. Writes

    - ``grade``: a whole number;
    - ``result``: ``grade``, its ``name``, and under ``at_least`` the probability of each grade or a higher one;
    - ``pred``: labels of zero, ``(1, i, j)``, uint8.

    Args:
        grades: names in order, one more than there are thresholds.

    Raises:
        InputError: ``pred`` does not have one value for each threshold.
    """

    def __init__(self, grades: Sequence[str]) -> None:
        self.grades = tuple(str(name) for name in grades)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, probabilities = item["image"], torch.as_tensor(item["pred"]).float().cpu().numpy()
        check_thresholds(probabilities[None], self.grades)
        grade = int(predicted_grades(probabilities[None])[0])
        item["grade"] = grade
        item["result"] = {
            "note": RESEARCH_ONLY,
            "grade": grade,
            "name": self.grades[grade],
            "at_least": {
                name: float(f"{value:.6g}") for name, value in zip(self.grades[1:], probabilities, strict=True)
            },
        }
        item["pred"] = no_labels(image)
        return item
