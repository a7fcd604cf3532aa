"""The grade of a photograph, in the form that writers and MONAI Label expect."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from planewise.metrics.grades import check_thresholds, predicted_grades
from planewise.reports.research_only import RESEARCH_ONLY


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
        labels = torch.zeros((1, *image.shape[1:]), dtype=torch.uint8, device=image.device)
        item["pred"] = MetaTensor(labels, meta=image.meta) if isinstance(image, MetaTensor) else labels
        return item
