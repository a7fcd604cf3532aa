"""An image, other than DICOM, of one phase of one exam."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from planewise.findings import Finding


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


#: Maps each reason why files are not used, or are used without something, to their paths.
Skipped = dict[Finding, list[str]]


@dataclass
class FoundVolumes:
    """The result of a reader: NIfTI exams, MRNet's volumes, whole cases or photographs."""

    volumes: list[Volume]
    skipped: Skipped
    unmatched: list[tuple[str, Finding]] = field(default_factory=list)
    """errors in labels and tables, each with its file or name"""
    channels: tuple[str, ...] = ()
    """the channels of a case; empty if a case is one file"""
    warnings: list[Finding] = field(default_factory=list)
    """what a person should read before training"""
