"""Cross-validation within the training and validation sections of a datalist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from planewise.data.datalist import load_datalist
from planewise.errors import InputError
from planewise.preprocessing.exam_name import exam_of


def load_fold(
    path: str | Path,
    section: str,
    fold: int | None = None,
    folds: int = 5,
    class_key: str = "group",
    seed: int = 0,
    required: bool = False,
    view: str | None = None,
) -> list[dict[str, Any]]:
    """The items of a section (`load_datalist`). If a fold is given, training and validation exams are divided again.

    The exams of both sections are divided into folds by patient, stratified by class. A patient with several classes
    (two eyes) counts as the last class in sorted order, which is the highest grade. The given fold becomes the
    validation section, and the other folds become the training section. The test section does not change.

    Args:
        path: the datalist.
        section: ``"training"``, ``"validation"``, ``"test"`` or ``"all"``.
        fold: 0 to ``folds`` - 1; None keeps the datalist's own sections.
        folds: number of folds.
        class_key: key of the items' class.
        seed: seed of the division.
        required: whether an empty section is an error.
        view: the view that the images must show, see `load_datalist`.

    Raises:
        InputError: there is no such fold, or there are fewer patients than folds.
    """
    if fold is None or section in ("test", "all"):
        return load_datalist(path, section, required, view)
    if folds < 2 or not 0 <= fold < folds:
        raise InputError(f"--folds must be at least 2, and --fold at least 0 and below --folds, got {folds} and {fold}")
    items = [*load_datalist(path, "training", required, view), *load_datalist(path, "validation", view=view)]
    patients: dict[str, str] = {}
    for item in items:
        # a patient with several classes (two eyes, two grades) counts as the last class, as in the index
        patients[_patient(item)] = max(str(item.get(class_key, "")), patients.get(_patient(item), ""))
    if len(patients) < folds:
        raise InputError(f"{len(patients)} patients cannot be divided into {folds} folds; set a lower --folds")
    names = sorted(patients)
    drawn = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    # the patients of each class are assigned to the folds in turns, in random order; scikit-learn's StratifiedGroupKFold
    # refuses classes with fewer patients than folds
    dealt = sorted((names[index] for index in drawn), key=patients.__getitem__)
    chosen = set(dealt[fold::folds])
    return [item for item in items if (_patient(item) in chosen) == (section == "validation")]


def _patient(item: dict[str, Any]) -> str:
    return str(item.get("patient") or exam_of(item))
