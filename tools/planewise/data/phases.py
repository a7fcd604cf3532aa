"""Select phases of a cine, and pair the volumes of exams at end-diastole and end-systole."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from planewise.phases import nearest_phase
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.words import count_of, some_of

logger = logging.getLogger(__name__)

#: Keys of an exam's items that are kept in addition to its masks and its class.
EXAM_KEYS = ("height", "weight", "patient")
#: Usual fraction of the cycle at which a named phase occurs.
NAMED_PHASES = {"ED": 0.0, "ES": 0.4}


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
        exam |= {key: item[key] for key in EXAM_KEYS if key in item}
        if (key := class_key or "group") in item:
            exam["group"] = str(item[key])
        path = Path(masks) / f"{volume_name(item)}.nii.gz" if masks else item.get("label")
        if path and (not masks or Path(path).is_file()):
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
            first, last = sorted(found)
            exams[name] |= {"ed": found[first], "es": found[last]}
    lacking = [name for name, exam in exams.items() if not {"ed", "es"} <= exam.keys()]
    if not 0 < len(lacking) < len(exams):
        return list(exams.values())
    logger.warning("%s without masks at ED and ES left out: %s", count_of(len(lacking), "exam"), some_of(lacking))
    return [exam for name, exam in exams.items() if name not in lacking]


def at_cycle_points(items: Sequence[Mapping[str, Any]], points: Iterable[float] | None) -> list[Mapping[str, Any]]:
    """Select from each slice the phases nearest to the given points of the cardiac cycle; keep the items' order.

    Args:
        items: items of a datalist; ``phase`` is a fraction of the cycle, 0 at end-diastole, or a name
            (`cycle_fraction`).
        points: fractions of the cycle, at least one; end-systole is at about 0.4. None takes all phases.

    Returns:
        For each slice, one item for each point; fewer if one phase is the nearest to several points.
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
