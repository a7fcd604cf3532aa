"""Select the items of a datalist that a network learns from: exams, folds, phases, and items with usable labels."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.ndimage import generate_binary_structure, label

from planewise.data.datalist import load_datalist
from planewise.errors import InputError
from planewise.files.datalists import is_labelled
from planewise.files.masks import HEART_STRUCTURES, read_mask
from planewise.findings import Finding, finding
from planewise.geometry.tolerances import HEART_VOLUMES
from planewise.phases import nearest_phase
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.words import count_of, listed, some_of

logger = logging.getLogger(__name__)

#: Usual fraction of the cycle at which a named phase occurs.
NAMED_PHASES = {"ED": 0.0, "ES": 0.4}
#: The largest connected piece must be at least this share of a heart.
ONE_PIECE = 0.8
#: Minimum number of slices that must show a heart; a stack with fewer slices must show it in all of them.
FEWEST_SLICES = 2


def select_subjects(
    items: Sequence[dict[str, Any]], num_subjects: int | None, seed: int = 0, having: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The items of a random selection of exams.

    The seed alone determines an order of the exams, and the first ``num_subjects`` are taken (None takes all), so a larger
    selection with the same seed contains every smaller one. Exams with none of the keys ``having``, if any, are not drawn.

    Raises:
        InputError: more exams are requested than there are.
    """
    if num_subjects is None:
        return list(items)
    exams = sorted({exam_of(item) for item in items if not having or any(key in item for key in having)})
    if not 0 < num_subjects <= len(exams):
        of_what = f" with {' or '.join(having)}" if having else ""
        raise InputError(
            f"the section has {len(exams)} subjects{of_what}, {num_subjects} were requested; set another --num_subjects"
        )
    order = torch.randperm(len(exams), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = {exams[index] for index in order[:num_subjects]}
    return [item for item in items if exam_of(item) in chosen]


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
    (two eyes) counts as the last class in sorted order, as in the index. The given fold becomes the validation section,
    and the other folds become the training section. The test section does not change.

    Args:
        path, section, required, view: see `load_datalist`.
        fold: 0 to ``folds`` - 1; None keeps the datalist's own sections.
        folds: number of folds.
        class_key: key of the items' class.
        seed: seed of the division.

    Raises:
        InputError: there is no such fold, or there are fewer patients than folds.
    """
    if fold is None or section in ("test", "all"):
        return load_datalist(path, section, required, view)
    if folds < 2 or not 0 <= fold < folds:
        raise InputError(f"--folds must be at least 2, and --fold at least 0 and below --folds, got {folds} and {fold}")
    items = [*load_datalist(path, "training", required, view), *load_datalist(path, "validation", view=view)]
    owners = [str(item.get("patient") or exam_of(item)) for item in items]
    classes: dict[str, str] = {}
    for item, patient in zip(items, owners, strict=True):
        classes[patient] = max(str(item.get(class_key, "")), classes.get(patient, ""))
    if len(classes) < folds:
        raise InputError(f"{len(classes)} patients cannot be divided into {folds} folds; set a lower --folds")
    names = sorted(classes)
    drawn = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    # each class is dealt to the folds in turns; scikit-learn's StratifiedGroupKFold refuses classes smaller than the folds
    dealt = sorted((names[index] for index in drawn), key=classes.__getitem__)
    chosen = set(dealt[fold::folds])
    wanted = section == "validation"
    return [item for item, patient in zip(items, owners, strict=True) if (patient in chosen) == wanted]


def at_cycle_points(items: Sequence[Mapping[str, Any]], points: Iterable[float] | None) -> list[Mapping[str, Any]]:
    """Select from each slice the phases nearest to the given points of the cardiac cycle; keep the items' order.

    Args:
        items: items of a datalist; ``phase`` is a fraction of the cycle, 0 at end-diastole, or a name (`cycle_fraction`).
        points: fractions of the cycle; end-systole is at about 0.4. None takes all phases.
    """
    if points is None:
        return list(items)
    slices: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        slices[item.get("exam"), item.get("stack"), item.get("slice", row)].append(row)
    kept: set[int] = set()
    for point in points:
        for rows in slices.values():
            kept.add(rows[nearest_phase([cycle_fraction(items[row]) for row in rows], point)])
    return [items[row] for row in sorted(kept)]


def cycle_fraction(item: Mapping[str, Any]) -> float:
    """An item's time in the cardiac cycle, in [0, 1): its ``phase``, or the usual time of a named phase.

    An item without a phase, or with an unknown name of a phase, counts as end-diastole.
    """
    phase = item.get("phase", 0.0)
    return NAMED_PHASES.get(phase, 0.0) if isinstance(phase, str) else phase


def pair_phases(
    items: Sequence[dict[str, Any]], masks: str | Path | None = None, class_key: str | None = None
) -> list[dict[str, Any]]:
    """Merge the items of each exam's volumes into one item per exam.

    An item is ``{"exam", "ed": mask, "es": mask, "group", "height", "weight", "patient"}``, with ``label_maps``,
    which maps the path of each mask that has a label map to this map. For DICOM stacks, ``slice_affines`` maps each slice of
    the masks to its affine. Keys that the volumes lack are absent.

    Args:
        items: items of a datalist, with ``label`` and ``phase`` ED or ES. Masks drawn on a DICOM cine have a time in the
            cycle instead; if an exam has masks at two times, they are end-diastole and end-systole.
        masks: folder of predicted masks, ``<exam>_ED.nii.gz`` and ``<exam>_ES.nii.gz``, to use instead of the labels
            (output of the segmentation bundle's evaluation with ``save_masks``).
        class_key: key of the items' class, which becomes ``group``; None for ``group``.

    Exams without masks are left out with a warning, unless no exam has masks.
    """
    exams: dict[str, dict[str, Any]] = {}
    times: dict[str, dict[float, str]] = defaultdict(dict)
    for item in items:
        exam = exams.setdefault(exam_of(item), {"exam": exam_of(item)})
        exam |= {key: item[key] for key in ("height", "weight", "patient") if key in item}
        if (key := class_key or "group") in item:
            exam["group"] = str(item[key])
        path = Path(masks) / f"{volume_name(item)}.nii.gz" if masks else item.get("label")
        if not path or (masks and not path.is_file()):
            continue
        if "affine" in item:
            frame = item.get("slice") if masks else item.get("label_frame", item.get("slice"))
            exam.setdefault("slice_affines", {})[frame] = item["affine"]
        phase = item.get("phase", "")
        if isinstance(phase, (int, float)):
            times[exam["exam"]][phase] = str(path)
        else:
            exam[str(phase).lower()] = str(path)
        if not masks and "label_map" in item:  # predicted masks already have our label values
            exam.setdefault("label_maps", {})[str(path)] = item["label_map"]
    for name, found in times.items():
        if len(found) == 2:
            exams[name] |= dict(zip(("ed", "es"), (found[time] for time in sorted(found)), strict=True))
    lacking = [name for name, exam in exams.items() if not {"ed", "es"} <= exam.keys()]
    if not 0 < len(lacking) < len(exams):
        return list(exams.values())
    logger.warning("%s without masks at ED and ES left out: %s", count_of(len(lacking), "exam"), some_of(lacking))
    return [exam for name, exam in exams.items() if name not in lacking]


def labelled(
    items: Sequence[dict[str, Any]], structures: Mapping[int | str, str], only: bool = False
) -> list[dict[str, Any]]:
    """The items that have a mask, checked as in `checked_masks`; in a cine, two phases usually have one."""
    return [item for item in checked_masks(items, structures, only) if "label" in item]


def checked_masks(
    items: Sequence[dict[str, Any]], structures: Mapping[int | str, str], only: bool = False
) -> list[dict[str, Any]]:
    """All items, also those without a mask, if a network can learn from the masks.

    Args:
        items: items of a datalist's section.
        structures: maps the label values to the names of all structures that a mask must contain.
        only: whether to refuse masks that have other values, as far as the datalist records them (``unknown_labels``).

    Raises:
        InputError: there are items, but none has a mask; a mask was predicted by a network; the ``label_map`` of a data set
            lacks a structure, so that its pixels would be learned as background; or masks have other values.
    """
    found = [item for item in items if "label" in item]
    if items and not found:
        raise InputError(
            f"none of the {len(items)} images has a mask; add your own with `planewise index --labels FOLDER`"
        )
    others: dict[str, set[int]] = defaultdict(set)
    for item in found if only else ():
        if wrong := {*item.get("unknown_labels", ())} - {*map(int, structures)}:
            others[exam_of(item)] |= wrong  # not the file, because its name may contain a person's name
    if others:
        each = "; ".join(f"exam {exam}: {listed([*map(str, sorted(values))])}" for exam, values in others.items())
        known = listed([f"{value} ({name})" for value, name in structures.items()])
        raise InputError(
            f"masks of {count_of(len(others), 'exam')} have values other than {known}: {each}; rename the values with "
            "`planewise index --label-map`, name them in --structures, or take these masks out and index again"
        )
    for item in found:
        if not is_labelled(item):
            raise InputError(
                f"exam {exam_of(item)}: its mask was predicted by a network (`planewise segment`), and segmentation is"
                " never trained or evaluated on such masks; take the predicted masks out of the folder and index it again; "
                "or copy those that are right to NAME_mask_corrected.nii.gz"
            )
        known = {int(value) for value in (item.get("label_map") or {}).values()}
        lacking = [name for value, name in structures.items() if known and int(value) not in known]
        if lacking:
            raise InputError(
                f"exam {exam_of(item)}: no value of its mask becomes {' or '.join(lacking)}; name it in --label-map, or, if "
                "masks of this data set do not have it, name the structures that they have with --structures"
            )
    return list(items)


def maskable(items: Sequence[dict[str, Any]], structures: Mapping[int | str, str]) -> dict[int | str, str]:
    """Those of a network's ``structures`` that the masks of all items can have, so that they can be scored: every
    ``label_map`` names them. If there is none, all structures, for the message of `checked_masks`."""
    known = [{*map(int, item["label_map"].values())} for item in items if item.get("label_map")]
    kept = {value: name for value, name in structures.items() if all(int(value) in values for values in known)}
    if lacking := [name for name in structures.values() if name not in kept.values()]:
        logger.warning("structures that are not scored, because the masks cannot contain them: %s", ", ".join(lacking))
    return kept or dict(structures)


def graded(items: Sequence[dict[str, Any]], key: str, grades: int, required: bool = False) -> list[dict[str, Any]]:
    """The items that have a grade, a whole number from 0 to ``grades - 1`` under ``key``. The log counts the others.

    Raises:
        InputError: no item has a valid grade, and ``required`` is true; or the grades seem to begin at 1.
    """
    kept, problems = [], Counter()
    for item in items:
        grade = item.get(key)
        if type(grade) is int and 0 <= grade < grades:
            kept.append(item)
        else:
            problems["without a grade" if grade is None else f"with the grade {grade!r}"] += 1
    found = [item.get(key) for item in items]
    # in a small section, 0 may be absent by chance, and the highest value may be a slip or a code
    if 0 not in found and grades in found and (required or all(grade in found for grade in range(1, grades))):
        raise InputError(
            f"no photograph has the grade 0, but some have {grades}. Grades must go from 0 to {grades - 1}: subtract 1 from "
            f"each, or, if only {grades} is wrong, correct or delete it"
        )
    told = "; ".join(f"{count} {reason}" for reason, count in problems.items())
    if required and not kept:
        raise InputError(
            f"no photograph has a {key} from 0 to {grades - 1} ({told or 'there are no photographs'}); add grades with "
            "`planewise index --anatomy photograph --classes FILE.csv`, or name their key with --class_key"
        )
    if problems:
        logger.info("of %d photographs, these are left out: %s", len(items), told)
    return kept


def heart_problem(heart: np.ndarray, spacing: Sequence[float]) -> Finding | None:
    """Why a mask ``(i, j, slices)``, bool, of voxels of this size (mm) cannot be a heart; None if it can be one."""
    voxels = int(heart.sum())
    if not voxels:
        return finding("mask-no-heart", kind="empty")
    least, most = HEART_VOLUMES
    volume = voxels * float(np.prod(spacing)) / 1000
    if not least <= volume <= most:
        return finding("mask-no-heart", kind="volume", ml=volume, low=least, high=most)
    seen = int(heart.any(axis=(0, 1)).sum())
    if seen < min(FEWEST_SLICES, heart.shape[2]):
        return finding("mask-no-heart", kind="slices", seen=seen, count=heart.shape[2])
    pieces, _ = label(heart, generate_binary_structure(3, 3))
    largest = int(np.bincount(pieces.ravel())[1:].max())
    if largest < ONE_PIECE * voxels:
        return finding("mask-no-heart", kind="pieces", percent=round(100 * largest / voxels))
    return None


def mask_problem(
    path: str | Path, labels: Collection[int], label_map: Mapping[str, int] | None = None
) -> Finding | None:
    """Like `heart_problem`, for the mask in a NIfTI file; ``labels`` are those of the heart, after an item's
    ``label_map``."""
    try:
        values, affine = read_mask(path, label_map)
    except InputError as error:
        return finding("mask-no-heart", kind="unusable", error=str(error))
    if values.ndim != 3:
        return finding("mask-no-heart", kind="axes", axes=values.ndim)
    return heart_problem(np.isin(values, list(labels)), nibabel.affines.voxel_sizes(affine))


def with_hearts(items: Sequence[dict[str, Any]], images: str = "segmented") -> list[dict[str, Any]]:
    """The items that can be cropped to the heart: they have a mask, and all masks of their exams are plausible.

    ``images`` is ``"segmented"``, or ``"full"`` for all items. An `InputError` is raised if none can be used.
    """
    if images == "full" or not items:
        return list(items)
    masked = [item for item in items if item.get("label")]
    problems: dict[str, Finding] = {}
    checked: dict[tuple, Finding | None] = {}
    for item in masked:
        path, label_map = item["label"], item.get("label_map") or {}
        if (key := (path, *sorted(label_map.items()))) not in checked:
            checked[key] = mask_problem(path, HEART_STRUCTURES["sax"], label_map)
        if problem := checked[key]:
            problems.setdefault(exam_of(item), problem.about(str(item.get("phase", ""))))
    kept = [item for item in masked if exam_of(item) not in problems]
    exams = Counter(map(exam_of, items))
    without = exams.keys() - set(map(exam_of, masked))
    problems |= dict.fromkeys(sorted(without), finding("mask-no-heart", kind="missing"))
    told = some_of([f"{exam}: {reason}" for exam, reason in problems.items()])
    if not kept:
        raise InputError(
            f"no exam can be cropped to its heart ({told}); predict masks with `planewise segment`, or use --images full"
        )
    if problems:
        count, reason = len(problems), "because they cannot be cropped to the heart"
        logger.warning("%d of %d exams are left out, %s: %s", count, len(exams), reason, told)
    if rest := len(items) - len(masked) - sum(exams[exam] for exam in without):
        logger.warning("%d images of the other exams have no mask and are left out", rest)
    return kept
