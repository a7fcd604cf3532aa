"""An image as described by its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Frame:
    """One image: a DICOM file, or one frame of a multi-frame file. Lengths in mm, times in ms, patient space RAS+."""

    path: str
    frame: int | None
    """index in a multi-frame file, from 0; None in a single-frame file"""
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
    """sort key for the order of acquisition: time, SeriesNumber, AcquisitionNumber, folder"""
    kind: str
    """values that must agree inside a stack in addition to geometry: magnitude or phase, sequence, echo"""
    text: str
    """words that may name the view, including the folder's name"""
    description: str
    """``text`` without the folder's name"""
    echo_time: float | None = None
    repetition_time: float | None = None
    sequence: str = ""
    """``SE``, ``GR``, ``IR/SE``, ...; empty if the header has none"""
    fat_suppressed: bool | None = None
    """None if unknown"""
    localizer: bool = False
    gated: bool = False
    body_part: str = ""
    patient: str = ""
    """raw identifier, like the four below: hashed before anything is written"""
    study: str = ""
    series: str = ""
    frame_of_reference: str = ""
    sop: str = ""
    time: int | None = None
    """index along the fourth axis of a NIfTI cine, from 0; None elsewhere"""
    view: str = ""
    """view that the names of the data set give it (M&Ms-2, UK Biobank); empty if the data set names none"""
    phase: str | None = None
    """``"ED"`` or ``"ES"``, if the file is named by its phase; otherwise None"""
    b_value: float | None = None
    """strength of the diffusion weighting, s/mm^2; None if the header has none"""
    cycle: int = 0
    """CardiacNumberOfImages, the number of phases that were acquired; 0 if the header has none"""
    heartbeat: float = 0.0
    """NominalInterval, ms; 0 if the header has none"""
    inverted: bool = False
    """whether low values are bright (MONOCHROME1); ITK inverts them"""
    acquisition: int = 0
    """AcquisitionNumber of the series; 0 if the header has none"""
    study_day: int = 0
    """StudyDate, in days (`datetime.date.toordinal`); 0 if the header has none. Private, like the identifiers"""
    flow: bool = False
    """whether the names of the series or of its sequence say that it measures flow (phase contrast)"""
    derived: bool = False
    """whether ImageType says that the pixels were computed from other images, such as a copy with an overlay"""
    uncorrected: bool = False
    """whether ImageType says that the image has no distortion correction (Siemens' ND)"""
    clocks: tuple[str, str] = ("", "")
    """when the image was acquired, and when it was made, as texts whose order is that of the times; empty if unknown"""
    temporal: int = 0
    """TemporalPositionIdentifier, the number of the phase; 0 if the header has none"""

    @property
    def is_phase_image(self) -> bool:
        """Whether the pixels are velocities or phases. False for phase-sensitive inversion recovery, which shows anatomy."""
        return self.kind.startswith("phase") and "IR" not in self.sequence

    @property
    def series_number(self) -> int:
        """SeriesNumber, which scanners and viewers show; 0 if the header has none."""
        return int(self.acquired[1])

    @property
    def folder(self) -> str:
        return str(Path(self.path).parent)

    @property
    def series_or_folder(self) -> str:
        """The key of a series: the identifier, or the file's folder if the header has none."""
        return self.series or self.folder
