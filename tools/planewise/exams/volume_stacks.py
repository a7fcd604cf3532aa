"""NIfTI volumes as stacks: their third axis is the stack, and their affine gives the position of its slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.frame import Frame
from planewise.exams.stacks import build_stacks
from planewise.exams.volume import Volume
from planewise.files.names import stem
from planewise.files.nifti import open_nifti
from planewise.words import natural_order


def exams_of_volumes(volumes: Sequence[Volume]) -> list[Exam]:
    """Make one exam of each case. Volumes with the same geometry are phases of one stack; a volume with another geometry is
    another view.

    Args:
        volumes: NIfTI volumes with orientation, from `volumes.read_volumes`.
    """
    cases = defaultdict(list)
    for volume in volumes:
        cases[volume.key].append(volume)
    exams = []
    for key, members in cases.items():
        members.sort(key=lambda volume: natural_order(volume.phase or ""))
        frames = [frame for number, volume in enumerate(members) for frame in _frames(volume, number)]
        first = members[0]
        exams.append(
            Exam(
                key=key,
                patient_key=first.patient_key,
                folder=first.folder,
                stacks=build_stacks(frames),
                case=first.case,
            )
        )
    return exams


def _frames(volume: Volume, number: int) -> list[Frame]:
    """The slices of a volume; ``number`` counts the phases."""
    (columns, rows), thickness, affines = _geometry(volume.image)
    acquired, text = ("", 0, 0, natural_order(volume.case)), f"{stem(volume.image)} {volume.view}".strip()
    return [
        Frame(
            path=str(volume.image),
            frame=depth,
            affine=affine,
            rows=rows,
            columns=columns,
            thickness=thickness,
            trigger=None,
            instance=number,
            acquired=acquired,
            kind="",
            text=text,
            description=volume.case,
            # files with a view are frames of cines, too
            gated=volume.time is not None or bool(volume.view),
            series=f"{volume.key} {volume.view}".strip(),
            time=volume.time,
            view=volume.view,
            phase=volume.phase if volume.phase in ("ED", "ES") else None,
        )
        for depth, affine in enumerate(affines)
    ]


@lru_cache(maxsize=1)  # the phases of a cine share a file
def _geometry(path: Path) -> tuple[tuple[int, int], float, list[list[list[float]]]]:
    """Voxels along i and j, the slices' thickness (mm), and each slice's affine."""
    image = open_nifti(path)
    affines = np.repeat(np.asarray(image.affine, dtype=np.float64)[None], image.shape[2], axis=0)
    affines[:, :3, 3] += np.arange(len(affines))[:, None] * affines[0, :3, 2]
    return image.shape[:2], float(np.linalg.norm(affines[0, :3, 2])), affines.tolist()
