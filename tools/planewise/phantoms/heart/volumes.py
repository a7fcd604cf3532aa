"""Make volumes of the views of a heart exam, with their affines: cines, and masks at a phase."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.nifti import NiftiFile

#: Acquisition number of each view's first slice; the numbers of further short-axis slices increase by one.
VIEW_STREAMS = {"sax": 0, "2ch": 101, "4ch": 100}


def cine_volume(exam: Exam, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Scan a view through the cycle.

    Args:
        exam: the exam to scan.
        view: ``"sax"`` (from base to apex), ``"2ch"`` or ``"4ch"``.

    Returns:
        Pixels, int16, shape ``(columns, rows, slices, phases)``, and the affine ``(4, 4)``, RAS+, mm.
    """
    cine = np.stack([exam.images(pose, stream) for stream, pose in _slices(exam, view)])
    return cine.transpose(3, 2, 0, 1).astype(np.int16), view_affine(exam, view)


def view_files(
    exam: Exam, view: str, codes: Mapping[int, int] | None, cine: str, frame: str = "", mask: str = ""
) -> list[NiftiFile]:
    """The files of a view: its cine and, at end-diastole and end-systole, its frame and its mask.

    Args:
        exam, view, codes: see `mask_volume`; without codes, there is only the cine.
        cine: name of the cine's file, without its ending.
        frame, mask: patterns for the names of the other files, with ``{0}`` for ED or ES and ``{1}`` for the number of the
            frame, from 1.
    """
    volume, affine = cine_volume(exam, view)
    files = [NiftiFile(f"{cine}.nii.gz", volume, affine, exam.step)]
    for phase, rank in (("ED", 0), ("ES", exam.end_systole)) if codes else ():
        drawn = mask_volume(exam, view, rank, codes)
        for pattern, content in ((frame, volume[..., rank]), (mask, drawn)):
            files.append(NiftiFile(f"{pattern.format(phase, rank + 1)}.nii.gz", content, affine))
    return files


def mask_volume(exam: Exam, view: str, phase: int, codes: Mapping[int, int]) -> np.ndarray:
    """The labels of a view as acquired at a phase.

    Args:
        exam, view: see `cine_volume`.
        phase: index of the phase in the cycle.
        codes: maps labels of `Heart.label`, including atria, to labels of the data set; all others become background.

    Returns:
        uint8, shape ``(columns, rows, slices)``.
    """
    masks = [exam.mask(pose, stream, exam.phases[phase], with_atria=True) for stream, pose in _slices(exam, view)]
    drawn = np.stack(masks).transpose(2, 1, 0)
    table = np.zeros(256, dtype=np.uint8)
    table[list(codes)] = list(codes.values())
    return table[drawn]


def view_affine(exam: Exam, view: str) -> np.ndarray:
    """The affine ``(4, 4)`` from voxel indices of a view's volume to patient space, RAS+, mm."""
    poses, scanner = exam.poses[view], exam.scanner
    affine = poses[0].affine((scanner.spacing, scanner.spacing), scanner.matrix, scanner.thickness)
    if len(poses) > 1:
        # the direction from slice to slice may be along the images' normal or against it
        affine[:3, 2] = poses[1].centre - poses[0].centre
    return affine


def _slices(exam: Exam, view: str):
    """Acquisition number and pose of each slice."""
    return enumerate(exam.poses[view], start=VIEW_STREAMS[view])
