"""Parallel slices in order, as plain data and numpy: RAS+, mm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from planewise.exams.series_names import named
from planewise.findings import Finding, finding
from planewise.phases import usual_count


@dataclass(slots=True)
class Frame:
    """One image: a DICOM file, or one frame of a multi-frame file. Lengths in mm, times in ms, patient space RAS+."""

    path: str
    frame: int | None  #: index in a multi-frame file, from 0; None in a single-frame file
    affine: list[list[float]]  #: 4x4: voxel ``(i, j, 0)`` to patient space, ``i`` along an image row
    rows: int
    columns: int
    thickness: float | None
    trigger: float | None  #: time after the R wave
    instance: int  #: number within the series
    acquired: tuple  #: sort key for the order of acquisition: time, SeriesNumber, AcquisitionNumber, folder
    kind: str  #: values that must agree inside a stack in addition to geometry: magnitude or phase, sequence, echo
    text: str  #: words that may name the view, including the folder's name
    description: str  #: ``text`` without the folder's name
    echo_time: float | None = None
    repetition_time: float | None = None
    sequence: str = ""  #: ``SE``, ``GR``, ``IR/SE``, ...; empty if the header has none
    fat_suppressed: bool | None = None  #: None if unknown
    localizer: bool = False
    gated: bool = False
    body_part: str = ""
    patient: str = ""  #: raw identifier, like the four below: hashed before anything is written
    study: str = ""
    series: str = ""
    frame_of_reference: str = ""
    sop: str = ""
    time: int | None = None  #: index along the fourth axis of a NIfTI cine, from 0; None elsewhere
    view: str = ""  #: view that the names of the data set give it (M&Ms-2, UK Biobank); empty if none
    phase: str | None = None  #: ``"ED"`` or ``"ES"``, if the file is named by its phase; otherwise None
    derived: bool = False  #: whether the pixels were computed from other images, such as a copy with an overlay
    uncorrected: bool = False  #: whether ImageType says that the image has no distortion correction (Siemens' ND)

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
        return _folder(os.path.dirname(self.path))

    @property
    def series_or_folder(self) -> str:
        """The key of a series: the identifier, or the file's folder if the header has none."""
        return self.series or self.folder


@lru_cache(maxsize=256)  # many files share a folder
def _folder(name: str) -> str:
    return str(Path(name))


#: A gap between slices is reported if it differs from the median gap by more than this factor.
UNEVEN_GAP = 1.5
#: Images displaced sideways by more than this (mm) are reported: the heatmaps' standard deviation is 7.6 mm.
SIDEWAYS = 10.0
#: Two stacks have the same direction if they are parallel up to this angle, degrees.
LIKE_ANGLE = 20.0
#: Smallest number of images of a gated cine, the shortest and longest time (ms) between the first and the last, and the
#: shortest mean time between two. Trigger times of perfusion are constant to within a few ms, or rise over many heartbeats.
CINE_PHASES, CINE_SHORTEST, CINE_LONGEST, CINE_STEP = 5, 150.0, 4000.0, 5.0


@dataclass(slots=True, eq=False)
class Slice:
    """One slice position of a stack, with the images acquired there."""

    position: float  #: mm along the stack's normal
    affine: np.ndarray  #: (4, 4), voxel ``(i, j, 0)`` to patient space
    phases: list[Frame]  #: in order of time; only one for organs that do not move
    acquired: tuple  #: sort key for the order of acquisition
    series: str  #: identifier of the series, or the folder if the header has none

    def phase(self, number: int) -> float | str:
        """The name of a phase if it has one, otherwise its rank as a fraction of the cycle."""
        return self.phases[number].phase or round(number / len(self.phases), 6)


@dataclass(slots=True, eq=False)
class Stack:
    """Parallel slices with the same matrix, pixel spacing and kind of image. Header values are those of its frames."""

    slices: list[Slice]  #: in order along ``normal``
    normal: np.ndarray  #: (3,), unit vector, RAS+
    rows: int
    columns: int
    in_plane: tuple[float, float]  #: mm along i and j
    thickness: float | None  #: mm
    text: str  #: description of the images that are used, in lower case
    description: str  #: the same as ``text`` without folders' names
    gated: bool
    body_part: str
    echo_time: float | None  #: ms, the median of the frames
    repetition_time: float | None  #: ms, the median of the frames
    sequence: str
    fat_suppressed: bool | None
    localizer: bool
    findings: list[Finding] = field(default_factory=list)
    """what was left out or assumed; flags: phases that may be missing or in another order, and slices that
    were acquired again with another echo time"""

    @property
    def frames(self) -> list[Frame]:
        return [frame for entry in self.slices for frame in entry.phases]

    @property
    def view(self) -> str:
        """View that the data set's names give all images; empty if there is none."""
        named = {frame.view for frame in self.frames}
        return named.pop() if len(named) == 1 else ""

    @property
    def gaps(self) -> np.ndarray:
        """True distances (mm) between neighbouring slices, shape (slices - 1,): from positions, not from the header's
        SpacingBetweenSlices."""
        return np.abs([after.position - before.position for before, after in pairwise(self.slices)])

    @property
    def doubts(self) -> list[Finding]:
        """Signs of a missing slice or of a wrong header: unequal gaps, and `header_doubts`. Empty for a regular stack."""
        gaps = self.gaps
        usual = np.median(gaps) if len(gaps) else 0.0
        if len(gaps) > 1 and (gaps.max() > UNEVEN_GAP * usual or gaps.min() * UNEVEN_GAP < usual):
            low, high = (round(float(gap), 1) for gap in (gaps.min(), gaps.max()))
            return [finding("stack-doubtful", low=low, high=high, kind="gaps"), *self.header_doubts]
        return self.header_doubts

    @property
    def header_doubts(self) -> list[Finding]:
        """Signs that planes and volumes are wrong because of a wrong header: images displaced sideways, and a shear."""
        found = []
        origins = np.array([frame.affine for frame in self.frames])[:, :3, 3]
        axes = self.slices[0].affine[:3, :2] / self.in_plane
        # the drift is subtracted, because the origins of a sheared stack move sideways from slice to slice
        steps = [(after.affine - before.affine)[:3, 3] for before, after in pairwise(self.slices)]
        drifts = [step @ axes / (step @ self.normal) for step in steps]
        drift, depths = np.median(drifts, axis=0) if drifts else np.zeros(2), origins @ self.normal
        places = origins @ axes - np.outer(depths, drift)
        if (shear := np.linalg.norm(drift) * np.ptp(depths)) > SIDEWAYS:
            found.append(finding("stack-doubtful", mm=round(float(shear)), kind="sheared"))
        beside = int((np.linalg.norm(places - np.median(places, axis=0), axis=1) > SIDEWAYS).sum())
        if beside:
            found.append(finding("stack-doubtful", count=beside, mm=SIDEWAYS, kind="displaced"))
        return found

    @property
    def cycle(self) -> int:
        """Number of phases of the cycle: that of most slices."""
        return usual_count(len(entry.phases) for entry in self.slices)

    @property
    def is_cine(self) -> bool:
        """Whether most slices are gated cines of original images."""
        cines = sum(bool(is_cine(entry.phases)) and not entry.phases[0].derived for entry in self.slices)
        return 2 * cines > len(self.slices)

    @property
    def phase_counts(self) -> tuple[int, int]:
        """Smallest and largest number of phases of a slice."""
        counts = [len(entry.phases) for entry in self.slices]
        return min(counts), max(counts)

    @property
    def middle(self) -> np.ndarray:
        """The centre of the images at the middle of the stack, shape (3,), mm."""
        ends = self.slices[0], self.slices[-1]
        return np.mean([self.image_centre(entry) for entry in ends], axis=0)

    def image_centre(self, entry: Slice) -> np.ndarray:
        """The middle of a slice's image in patient space, shape (3,), mm."""
        return (entry.affine @ [(self.columns - 1) / 2, (self.rows - 1) / 2, 0, 1])[:3]

    def beside(self, entry: Slice, point: np.ndarray) -> float:
        """Distance (mm) between a slice's image and a point ``(3,)``, projected onto the slice; 0 inside the image."""
        places = (point - entry.affine[:3, 3]) @ (entry.affine[:3, :2] / self.in_plane)
        sides = (np.array([self.columns, self.rows]) - 1) * self.in_plane
        return float(np.linalg.norm(places - np.clip(places, 0, sides)))

    def angle_to(self, other: Stack) -> float:
        """Degrees between the planes of two stacks, in [0, 90]."""
        return float(np.degrees(np.arccos(min(1.0, abs(self.normal @ other.normal)))))

    def in_order(self, axis: np.ndarray | None) -> Stack:
        """The stack with its slices in order along ``axis`` (3,) (base to apex, right to left); unchanged if ``axis``
        is unknown."""
        if axis is None:
            return self
        return replace(self, slices=sorted(self.slices, key=lambda entry: float(entry.affine[:3, 3] @ axis)))


def is_cine(phases: Sequence[Frame]) -> bool | None:
    """Whether the images of a slice have the trigger times of a gated cine, which rise within about a heartbeat, and are not
    from a map of relaxation times (inversion recovery).

    Args:
        phases: in order of time.

    Returns:
        None if it is unknown, because there are too few images, they cover too short a time, or some lack trigger times.
    """
    times = [frame.trigger for frame in phases]
    if "IR" in phases[0].sequence.split("/"):
        return False
    if len(times) < CINE_PHASES or None in times or not any(times):
        return None
    span, rises = times[-1] - times[0], all(after > before for before, after in pairwise(times))
    if not rises or not CINE_STEP * len(times) <= span <= CINE_LONGEST:
        return False
    return True if span >= CINE_SHORTEST else None


def is_localizer(stack: Stack) -> bool:
    """Whether a stack's header or name identifies it as a localizer."""
    return stack.localizer or bool(named("localizers", stack.text))
