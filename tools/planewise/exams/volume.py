"""An image, other than DICOM, of one phase of one exam."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from planewise.nifti_files import is_nifti


def stem(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def case_and_channel(path: Path) -> tuple[str, int | None]:
    """``imagesTr/p1_0000.nii.gz`` of nnU-Net to ``("p1", 0)``; None for a name without a channel."""
    named = re.fullmatch(r"(.+)_(\d{4})", stem(path), re.DOTALL)
    return (named[1], int(named[2])) if named else (stem(path), None)


def common_name(files: Sequence[str | Path]) -> str:
    """The words with which the names of a case's files begin: ``17`` for ``17_t1n.nii.gz`` and ``17_t1c.nii.gz``; the name of
    their folder if the first words differ."""
    words = zip(*(re.split(r"([\s_.-])", stem(Path(file))) for file in files), strict=False)
    shared = "".join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, words))
    return shared.rstrip("_.- ") or Path(files[0]).absolute().parent.name


def nifti_files(paths: Iterable[Path]) -> list[Path]:
    """The paths of files that are NIfTI by their names, in order, without hidden files (the decathlon's ``._*``)."""
    return sorted(path for path in paths if is_nifti(path) and path.name[0] != ".")


@dataclass(slots=True)
class Volume:
    """A NIfTI volume, or one of MRNet's arrays."""

    image: Path
    label: Path | None
    """its mask"""
    case: str
    phase: str | None = None
    """``"ED"``, ``"ES"``, ``"frame05"``, or None"""
    classes: dict[str, object] = field(default_factory=dict)
    """disease group, height, weight, labels, ..."""
    group: str = ""
    """the group by which the split is stratified; empty for none"""
    key: str = ""
    """raw identifier of the exam, hashed before anything is written"""
    patient_key: str = ""
    """raw identifier of the patient, also hashed before anything is written"""
    aliases: list[str] = field(default_factory=list)
    """raw identifiers of the patient from other sources: for photographs, from names of files and folders, and from another
    table; for other volumes, those of copies"""
    name: str = ""
    """hash of the exam"""
    patient: str = ""
    """hash of the patient"""
    time: int | None = None
    """index along the fourth axis of a NIfTI cine, from 0; None in a volume without that axis"""
    oriented: bool = True
    """whether its header gives its orientation in the patient"""
    view: str = ""
    """``"sax"``, ``"4ch"``, ... from the data set's names; empty if the names contain no view"""
    label_map: dict[int, int] | None = None
    """maps the data set's label codes to those of planewise; None if both are the same, or if the codes are unknown"""

    label_axes: list[list[int]] = field(default_factory=list)
    """turns the mask's axes to the image's (`planewise.exams.volumes.mask_on_grid`); empty if they are the same"""
    channels: tuple[Path, ...] = ()
    """the files of the channels, if each channel has its own; the first is ``image``. Empty for a single file"""

    @property
    def folder(self) -> Path:
        return self.image.parent


@dataclass
class FoundVolumes:
    """The result of a reader: NIfTI exams, MRNet's volumes, whole cases or photographs."""

    volumes: list[Volume]
    skipped: dict[str, list[str]]
    """maps each reason to the paths left out for it"""
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    """errors in labels and tables, each with its file or name"""
    channels: tuple[str, ...] = ()
    """the channels of a case; empty if a case is one file"""
    warnings: list[str] = field(default_factory=list)
    """what a person should read before training, in words"""
