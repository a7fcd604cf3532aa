"""Parallel slices in order, as plain data and numpy: RAS+, mm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from planewise.exams.frame import Frame
from planewise.findings import Finding, finding
from planewise.phases import usual_count
from planewise.words import plain

#: A gap between slices is reported if it differs from the median gap by more than this factor.
UNEVEN_GAP = 1.5
#: Images displaced sideways by more than this (mm) are reported: the heatmaps' standard deviation is 7.6 mm.
SIDEWAYS = 10.0
#: A slice thickness is reported if it differs from the stack's by more than this share.
OTHER_THICKNESS = 0.1
#: Two stacks have the same direction if they are parallel up to this angle, degrees.
LIKE_ANGLE = 20.0
#: A stack may be a part of another one if they are parallel up to this angle (degrees), if it has at least this share of its
#: phases, and if at least this share of its slices lies outside the other's slices.
PART_ANGLE, PART_PHASES, PART_OUTSIDE = 10.0, 0.5, 0.5
#: The same angle for a single slice, which may be prescribed on its own, across the aortic valve for example.
SLICE_ANGLE = 5.0
#: Smallest number of images of a gated cine, the shortest and longest time (ms) between the first and the last, and the
#: shortest mean time between two. Trigger times of perfusion are constant to within a few ms, or rise over many heartbeats.
CINE_PHASES, CINE_SHORTEST, CINE_LONGEST, CINE_STEP = 5, 150.0, 4000.0, 5.0
#: Images whose longer side is shorter, or whose shorter side is longer (mm), are reported. Crops of a spinal cord are 25 mm
#: wide, and the bores of scanners are narrower than 800 mm.
SMALLEST_FIELD, LARGEST_FIELD = 20.0, 800.0
#: Names of localizers, which are acquired to plan the other stacks.
_LOCALIZER = r"locali[sz]er|(?<![a-z])loc(?![a-z])|scout|survey|pilot|3 ?plane|three ?plane"


@dataclass(slots=True, eq=False)
class Slice:
    """One slice position of a stack, with the images acquired there."""

    position: float
    """mm along the stack's normal"""
    affine: np.ndarray
    """(4, 4), voxel ``(i, j, 0)`` to patient space"""
    phases: list[Frame]
    """in order of time; only one for organs that do not move"""
    acquired: tuple
    """sort key for the order of acquisition"""
    series: str
    """identifier of the series, or the folder if the header has none"""

    def phase(self, number: int) -> float | str:
        """The name of a phase if it has one, otherwise its rank as a fraction of the cycle."""
        return self.phases[number].phase or round(number / len(self.phases), 6)


@dataclass(slots=True, eq=False)
class Stack:
    """Parallel slices with the same matrix, pixel spacing and kind of image. Header values are those of its frames."""

    slices: list[Slice]
    """in order along ``normal``"""
    normal: np.ndarray
    """(3,), unit vector, RAS+"""
    rows: int
    columns: int
    in_plane: tuple[float, float]
    """mm along i and j"""
    thickness: float | None
    """mm"""
    text: str
    """description of the images that are used, in lower case"""
    all_text: str
    """the same, including repeats"""
    description: str
    """the same as ``text`` without folders' names"""
    gated: bool
    body_part: str
    echo_time: float | None
    """ms, the median of the frames"""
    repetition_time: float | None
    """ms, the median of the frames"""
    sequence: str
    fat_suppressed: bool | None
    localizer: bool
    findings: list[Finding] = field(default_factory=list)
    """what was left out or assumed; flags: phases that may be missing or in another order (`phase_findings`), and slices that
    were acquired again with another echo time"""

    @property
    def view(self) -> str:
        """View that the data set's names give all images; empty if there is none."""
        named = {frame.view for entry in self.slices for frame in entry.phases}
        return named.pop() if len(named) == 1 else ""

    @property
    def gaps(self) -> np.ndarray:
        """True distances (mm) between neighbouring slices, shape (slices - 1,): from positions, not from the header's
        SpacingBetweenSlices."""
        return np.abs([after.position - before.position for before, after in pairwise(self.slices)])

    @property
    def doubts(self) -> list[Finding]:
        """Signs of a missing slice or of a wrong header: unequal gaps, images with another slice thickness, and
        `header_doubts`. Empty for a regular stack."""
        gaps, found = self.gaps, []
        usual = np.median(gaps) if len(gaps) else 0.0
        if len(gaps) > 1 and (gaps.max() > UNEVEN_GAP * usual or gaps.min() * UNEVEN_GAP < usual):
            found.append(
                finding(
                    "stack-doubtful", low=round(float(gaps.min()), 1), high=round(float(gaps.max()), 1), kind="gaps"
                )
            )
        frames = [frame for entry in self.slices for frame in entry.phases]
        odd = [frame for frame in frames if not np.isclose(frame.thickness or 0, self.thickness or 0, OTHER_THICKNESS)]
        if odd:
            known = [frame.thickness for frame in frames if frame.thickness]
            found.append(finding("stack-doubtful", low=min(known), high=max(known), kind="thickness"))
        return found + self.header_doubts

    @property
    def header_doubts(self) -> list[Finding]:
        """Signs that planes and volumes are wrong because of a wrong header or another kind of image: images
        displaced sideways or inverted, a shear, a field of view that no scanner has, and the name of a flow series."""
        found = []
        frames = [frame for entry in self.slices for frame in entry.phases]
        origins = np.array([frame.affine for frame in frames])[:, :3, 3]
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
        inverted = sum(frame.inverted for frame in frames)
        if 0 < inverted < len(frames):
            found.append(finding("stack-doubtful", count=inverted, kind="inverted"))
        field = self.columns * self.in_plane[0], self.rows * self.in_plane[1]
        if max(field) < SMALLEST_FIELD or min(field) > LARGEST_FIELD:
            found.append(finding("stack-doubtful", width=round(field[0]), height=round(field[1]), kind="field-of-view"))
        if any(frame.flow for frame in frames):
            found.append(finding("stack-doubtful", kind="flow"))
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
    def is_no_cine(self) -> bool:
        """Whether no slice can be a gated cine, as in perfusion, maps and late enhancement."""
        return all(is_cine(entry.phases) is False for entry in self.slices)

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

    def is_like(self, other: Stack, angle: float = LIKE_ANGLE) -> bool:
        """Whether two stacks are parallel up to an angle (degrees), and this one has about as many phases."""
        return self.angle_to(other) < angle and self.phase_counts[1] >= PART_PHASES * other.phase_counts[1]

    def may_be_part_of(self, chosen: Stack) -> bool:
        """Whether this stack has slices where another one, which is like it, has none. A repetition has slices at the same
        positions, and perfusion or a map whose series has another name is not part of a cine."""
        if not self.is_like(chosen, PART_ANGLE if len(self.slices) > 1 else SLICE_ANGLE):
            return False
        if chosen.is_cine and self.is_no_cine and self.description != chosen.description:
            return False
        own, others = (
            [stack.image_centre(entry) @ chosen.normal for entry in stack.slices] for stack in (self, chosen)
        )
        apart = np.abs(np.subtract.outer(own, others)).min(axis=1)
        # 0.9, because headers round positions and thicknesses
        return bool((apart >= 0.9 * (chosen.thickness or np.median(chosen.gaps))).mean() >= PART_OUTSIDE)

    def in_order(self, axis: np.ndarray | None) -> Stack:
        """The stack with its slices in order along ``axis`` (3,) (base to apex, right to left); unchanged if ``axis``
        is unknown."""
        if axis is None:
            return self
        return replace(self, slices=sorted(self.slices, key=lambda entry: float(entry.affine[:3, 3] @ axis)))

    def difference_from(self, chosen: Stack) -> dict[str, Any]:
        """How this stack differs from the stack that is used, as values of a finding: ``kind``, ``own`` and ``usual``."""
        if chosen.is_cine and not self.is_cine and self.phase_counts[1] >= CINE_PHASES:
            return {"kind": "derived" if self.slices[0].phases[0].derived else "no-cine"}
        for kind, own, usual in (
            ("matrix", f"{self.columns}x{self.rows}", f"{chosen.columns}x{chosen.rows}"),
            ("pixels", *(" x ".join(f"{side:.3g}" for side in stack.in_plane) for stack in (self, chosen))),
            ("phases", self.phase_counts[1], chosen.phase_counts[1]),
        ):
            if own != usual:
                return {"kind": kind, "own": own, "usual": usual}
        turned = round(self.angle_to(chosen), 1)
        return {"kind": "turned", "own": turned} if turned >= 0.5 else {"kind": "contrast"}


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
    return stack.localizer or bool(re.search(_LOCALIZER, plain(stack.text)))
