"""The phantom knee: its position in patient space, the frames of its bones, and its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planewise.phantoms.knee.findings import Findings
from planewise.phantoms.knee.patient import KneePatient
from planewise.phantoms.knee.population import KneePopulation
from planewise.phantoms.knee.shape import KneeShape
from planewise.phantoms.scanner.pose import rotation
from planewise.phantoms.solids import Coordinates

#: The axis about which femur and patella rotate on the tibia, (y, z), mm: the middle of the condyles' round backs.
HINGE = np.array([-14.5, 22.0])

#: Middle of an average patella in a straight knee, in the knee's frame, mm.
PATELLA = np.array([0.0, 42.5, 29.0])

#: Share of the flexion by which the patella follows the femur.
PATELLA_SHARE = 0.6

#: Middle of the joint, where a technologist centres every stack: in the notch, between the epicondyles and the plateau.
MIDDLE = np.array([0.0, -3.0, 8.0])

#: Half width between the epicondyles, mm.
EPICONDYLE = 41.0


@dataclass(frozen=True)
class Knee:
    """A knee at a position in patient space.

    In the knee's own frame, x points to the lateral side, y to the front, and z along the common middle line of femur and
    tibia to the hip. The origin is in the joint space, and the unit is mm of an average knee. In a left knee, x points to
    the patient's left, so the frame is left-handed, and the left knee is the mirror image of a right knee. Femur, tibia
    and patella have their own frames, which are rotated about the axis of the condyles. In a straight knee, these frames
    are the same as the knee's frame.
    """

    patient: KneePatient
    shape: KneeShape
    findings: Findings
    centre: np.ndarray
    """Origin of the knee's frame in patient space, RAS+, mm"""
    axes: np.ndarray
    """Rows are the frame's axes in patient space, shape ``(3, 3)``"""

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation, kind: tuple[bool, bool, bool]) -> Knee:
        """Sample a knee with findings of one of `planewise.phantoms.knee.findings.KINDS`."""
        patient = KneePatient.sample(rng, population.left)
        shape = KneeShape.sample(rng, population, patient.height)
        findings = Findings.sample(rng, population, kind)
        turn, abduction, lean = np.clip(rng.standard_normal(3), -2.1, 2.1)
        aside = 0.0 if rng.random() < population.centred else rng.uniform(70, 120)
        side = -1.0 if patient.left else 1.0
        centre = np.array([side * aside, 0.0, 0.0]) + rng.normal(0, 1, 3) * np.array([8, 8, 15])
        turned = (
            rotation(np.array([1.0, 0, 0]), np.radians(population.lean * lean))
            @ rotation(np.array([0, 1.0, 0]), np.radians(population.abduction * abduction))
            @ rotation(np.array([0, 0, 1.0]), np.radians(population.leg_rotation * turn))
        )
        return cls(patient, shape, findings, centre, np.diag([side, 1.0, 1.0]) @ turned.T)

    def to_local(self, points: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from patient space to the knee's frame. Their precision does not change."""
        points = np.asarray(points)
        turn = (self.axes.T / self.shape.scale).astype(points.dtype)
        return (points - self.centre.astype(points.dtype)) @ turn

    def to_patient(self, local: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from the knee's frame to patient space, RAS+, mm."""
        return np.asarray(local) * self.shape.scale @ self.axes + self.centre

    # one half of the flexion tilts the femur, the other half the tibia, so that z stays midway between them
    @property
    def _angles(self) -> dict[str, float]:
        half = self.shape.flexion / 2
        return {"femur": half, "tibia": -half, "patella": half - PATELLA_SHARE * self.shape.flexion}

    def into(self, bone: str, at: Coordinates) -> Coordinates:
        """Transform points from the knee's frame to a bone's frame."""
        angle = self._angles[bone]
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        y0, z0 = (np.float32(value) for value in HINGE)
        y, z = at[1] - y0, at[2] - z0
        return at[0], cosine * y + sine * z + y0, cosine * z - sine * y + z0

    def out_of(self, bone: str, point: tuple[float, float, float]) -> np.ndarray:
        """Transform a point ``(3,)`` from a bone's frame to the knee's frame."""
        x, y, z = point
        angle = self._angles[bone]
        y, z = y - HINGE[0], z - HINGE[1]
        return np.array(
            [x, np.cos(angle) * y - np.sin(angle) * z + HINGE[0], np.cos(angle) * z + np.sin(angle) * y + HINGE[1]]
        )

    @cached_property
    def patella_centre(self) -> np.ndarray:
        """Middle of the patella in its own frame, ``(3,)``."""
        return PATELLA + np.array([self.shape.patella_side, 0.0, self.shape.patella_height])

    @cached_property
    def landmarks(self) -> dict[str, np.ndarray]:
        """Landmarks that define the courses of ligaments and the planes, in the knee's frame, each ``(3,)``."""
        notch = self.shape.notch_width
        patella = self.patella_centre
        femur = {
            "acl_femur": (notch, -17.0, 25.0),
            "pcl_femur": (-notch, 1.0, 13.0),
            "mcl_femur": (-EPICONDYLE, -3.0, 27.0),
            "lcl_femur": (EPICONDYLE, -5.0, 25.0),
            "medial_back": (-23.0, -34.0 - self.shape.medial_back, 22.0),
            "lateral_back": (23.0, -34.0, 22.0),
            "quadriceps": (0.0, 35.0, 100.0),
        }
        tibia = {
            "acl_tibia": (-1.0, 5.0, -3.0),
            "pcl_tibia": (0.0, -30.0, -10.0),
            "mcl_tibia": (-32.0, 2.0, -48.0),
            "fibula_head": (36.0, -21.0, -15.0),
            "tuberosity": (4.0, 24.5, -38.0),
        }
        places = {name: self.out_of("femur", point) for name, point in femur.items()}
        places |= {name: self.out_of("tibia", point) for name, point in tibia.items()}
        places["patella_tip"] = self.out_of("patella", patella + np.array([0, 1.0, -19.0]))
        places["patella_top"] = self.out_of("patella", patella + np.array([0, 2.0, 18.0]))
        places["middle"] = MIDDLE
        return places

    @property
    def middle_line(self) -> np.ndarray:
        """Common middle line of femur and tibia towards the hip, unit vector in patient space."""
        return self.axes[2]

    @property
    def condylar_line(self) -> np.ndarray:
        """Direction along the backs of the condyles, from medial to lateral and perpendicular to the middle line: a unit
        vector in patient space."""
        line = (self.landmarks["lateral_back"] - self.landmarks["medial_back"]) * np.array([1, 1, 0])
        line = line @ self.axes
        return line / np.linalg.norm(line)
