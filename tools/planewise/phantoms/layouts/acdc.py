"""Exams in the layout of the Automated Cardiac Diagnosis Challenge: NIfTI volumes, masks, Info.cfg."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.nifti import write_volume
from planewise.phantoms.recipe import Recipe

#: The set has no tables.
TABLE_HEADER = ()

#: Consecutive patients with one diagnosis, and the number of patients after which the order repeats, as in the real set.
BLOCK, HUNDRED = 20, 100


def exam_folder(number: int) -> PurePosixPath:
    """Folder of an exam under the root of the set.

    The set is ordered by disease: DCM 1-20, HCM 21-40 and so on. The folder depends on the exam's number alone, so a
    tree of fewer than a hundred exams has gaps in its numbering.
    """
    rank, group = divmod(number - 1, len(GROUPS))
    hundred, place = divmod(rank, BLOCK)
    return PurePosixPath("training") / f"patient{HUNDRED * hundred + BLOCK * group + place + 1:03d}"


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [exam_folder(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Writes an exam to the places of `exam_paths`."""
    exam = recipe.exam(number)
    name, folder = exam_folder(number).name, paths[0]
    folder.mkdir(parents=True, exist_ok=True)
    scanner, patient, systole = exam.scanner, exam.heart.patient, exam.end_systole
    # (slices, phases, rows, columns) to NIfTI's (columns, rows, slices, phases)
    cine = np.stack([exam.images(pose, stream) for stream, pose in enumerate(exam.poses["sax"])])
    cine = cine.transpose(3, 2, 0, 1).astype(np.int16)
    spacing = (scanner.spacing, scanner.spacing, scanner.distance)
    _write_volume(folder / f"{name}_4d.nii.gz", cine, (*spacing, scanner.interval / scanner.phases / 1000))
    for phase in (0, systole):
        frame = folder / f"{name}_frame{phase + 1:02d}"
        _write_volume(folder / f"{frame.name}.nii.gz", cine[..., phase], spacing)
        masks = [exam.mask(pose, stream, exam.phases[phase]) for stream, pose in enumerate(exam.poses["sax"])]
        _write_volume(folder / f"{frame.name}_gt.nii.gz", np.stack(masks).transpose(2, 1, 0), spacing)
    (folder / "Info.cfg").write_text(
        f"ED: 1\nES: {systole + 1}\nGroup: {patient.group}\nHeight: {patient.height}\n"
        f"NbFrame: {scanner.phases}\nWeight: {patient.weight}\n"
    )


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """Empty: ACDC has no tables, since each exam's ``Info.cfg`` holds its group."""
    return {}


def _write_volume(path: Path, volume: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Writes a compressed NIfTI volume. The affine holds the spacing and no orientation: ACDC gives none either."""
    write_volume(path, volume, np.diag([*spacing[:3], 1.0]), spacing)
