"""An image, other than DICOM, of one phase of one exam."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.stack import Frame
from planewise.exams.stacks import build_stacks
from planewise.files.names import stem
from planewise.files.nifti import open_nifti
from planewise.findings import Finding
from planewise.words import natural_order


@dataclass(slots=True)
class Volume:
    """A NIfTI volume, or one of MRNet's arrays."""

    image: Path
    label: Path | None  #: its mask
    case: str
    phase: str | None = None  #: ``"ED"``, ``"ES"``, ``"frame05"``, or None
    classes: dict[str, object] = field(default_factory=dict)  #: disease group, height, weight, labels, ...
    group: str = ""  #: the group by which the split is stratified; empty for none
    key: str = ""  #: raw identifier of the exam, hashed before anything is written
    patient_key: str = ""  #: raw identifier of the patient, also hashed before anything is written
    name: str = ""  #: hash of the exam
    patient: str = ""  #: hash of the patient
    time: int | None = None  #: index along the fourth axis of a NIfTI cine, from 0; None elsewhere
    oriented: bool = True  #: whether its header gives its orientation in the patient
    view: str = ""  #: ``"sax"``, ``"4ch"``, ... from the data set's names; empty if the names contain no view
    label_map: dict[int, int] | None = None  #: the data set's label codes to ours; None if equal or unknown

    label_axes: list[list[int]] = field(default_factory=list)  #: turns the mask's axes to the image's; empty if equal
    channels: tuple[Path, ...] = ()  #: the files of the channels, the first is ``image``; empty for a single file

    @property
    def folder(self) -> Path:
        return self.image.parent


#: Maps each reason why files are not used, or are used without something, to their paths.
Skipped = dict[Finding, list[str]]


@dataclass
class FoundVolumes:
    """The result of a reader: NIfTI exams, MRNet's volumes, whole cases or photographs."""

    volumes: list[Volume]
    skipped: Skipped
    unmatched: list[tuple[str, Finding]] = field(default_factory=list)  #: errors in tables, each with its name
    channels: tuple[str, ...] = ()  #: the channels of a case; empty if a case is one file


def exams_of_volumes(volumes: Sequence[Volume]) -> list[Exam]:
    """Make one exam of each case of oriented volumes. Volumes with the same geometry are phases of one stack; a volume with
    another geometry is another view."""
    cases = defaultdict(list)
    for volume in volumes:
        cases[volume.key].append(volume)
    exams = []
    for key, members in cases.items():
        members.sort(key=lambda volume: natural_order(volume.phase or ""))
        frames = [frame for number, volume in enumerate(members) for frame in _frames(volume, number)]
        first = members[0]
        exams.append(Exam(key, first.patient_key, first.folder, build_stacks(frames), case=first.case))
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
