"""One image as its header describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Frame:
    """One image: a DICOM file, or one frame of a multi-frame file. Lengths in mm, times in ms, patient space RAS+."""

    path: str
    frame: int | None
    """index in a multi-frame file, from 0; None in a file of one image"""
    affine: list[list[float]]
    """4x4, rows of floats: voxel ``(i, j, 0)`` to patient space, ``i`` along an image row"""
    rows: int
    columns: int
    thickness: float | None
    trigger: float | None
    """time after the R wave"""
    instance: int
    """number within the series"""
    acquired: tuple
    """sorts images in the order in which they were made"""
    kind: str
    """what must agree inside a stack besides geometry: magnitude or phase, sequence, echo"""
    text: str
    """words that may name the view, the folder's name among them"""
    description: str
    """the same without the folder"""
    echo_time: float | None
    repetition_time: float | None
    sequence: str
    """``SE``, ``GR``, ``IR/SE``, ...; empty where the header does not say"""
    fat_suppressed: bool | None
    """None if unknown"""
    localizer: bool
    gated: bool
    body_part: str
    patient: str
    """raw identifier, as the four below: hashed before anything is written"""
    study: str
    series: str
    frame_of_reference: str
    sop: str
    time: int | None = None
    """index along the fourth axis of a NIfTI cine, from 0; None elsewhere"""
    phase: str | None = None
    """``"ED"`` or ``"ES"``, where the file is named by its phase; None elsewhere"""
    b_value: float | None = None
    """strength of the diffusion weighting, s/mm^2; None where the header does not say"""
    acquisition: int = 0
    """AcquisitionNumber of the series; 0 where the header does not say"""

    @property
    def folder(self) -> str:
        return str(Path(self.path).parent)

    @property
    def series_or_folder(self) -> str:
        """What tells series apart: the identifier, or the file's folder where the header has none."""
        return self.series or self.folder
