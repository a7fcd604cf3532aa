"""One phantom exam: a patient, a scanner, and the prescribed planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.heart.body import Body
from planewise.phantoms.heart.chambers import REACH, Chambers
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.patient import Patient
from planewise.phantoms.heart.planes import lay_planes
from planewise.phantoms.heart.population import Population
from planewise.phantoms.heart.scanner import Scanner
from planewise.phantoms.scanner.dicom import Scanned
from planewise.phantoms.scanner.imaging import SHEETS, blurred, coil_shading, image_points, magnitude
from planewise.phantoms.scanner.pose import ImagePose


@dataclass(frozen=True)
class Exam(Scanned):
    """A phantom exam. Its images are computed on request."""

    seeds: tuple[int, ...]
    heart: Heart
    body: Body
    scanner: Scanner
    poses: dict[str, list[ImagePose]]
    """Maps each view to its poses; for ``sax``, they go from the base to the apex"""

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: Population, group: str | None = None) -> Exam:
        """Sample an exam.

        Args:
            seeds: numbers that identify the exam; other numbers give another exam.
            population: the population to which the exam belongs.
            group: diagnosis; by default, it is drawn at random according to the population's shares.
        """
        heart = cls.sample_organ(seeds, population, group)
        # separate streams of random numbers, so that a change to the body does not move the heart
        streams = [np.random.default_rng([*seeds, purpose]) for purpose in range(1, 4)]
        body = Body.sample(streams[0], heart)
        scanner = Scanner.sample(streams[1], population)
        poses = lay_planes(heart, population, streams[2], scanner.distance)
        return cls(tuple(seeds), heart, body, scanner, poses)

    @staticmethod
    def sample_organ(seeds: tuple[int, ...], population: Population, group: str | None = None) -> Heart:
        """Sample only the heart of the exam that `sample` returns for the same arguments."""
        rng = np.random.default_rng([*seeds, 0])
        drawn = str(rng.choice(list(GROUPS), p=population.groups))
        return Heart.sample(rng, Patient.sample(rng, group or drawn), population)

    @property
    def patient(self) -> Patient:
        """The patient."""
        return self.heart.patient

    @property
    def phases(self) -> np.ndarray:
        """Scanned phases of the cycle, in [0, 1)."""
        return np.arange(self.scanner.phases) / self.scanner.phases

    @property
    def end_systole(self) -> int:
        """Index of the phase in which the left ventricle is smallest. The phase at index 0 is end-diastole."""
        return int(np.argmin([self.heart.volumes(phase)["lv"] for phase in self.phases]))

    @property
    def step(self) -> float:
        """Time between the phases, s."""
        return self.scanner.interval / self.scanner.phases / 1000

    def breath(self, stream: int) -> np.ndarray:
        """Displacement of the patient's chest in one breath-hold from its usual position: ``(3,)``, mm."""
        return self.rng(stream, 2).normal(0, self.scanner.breath) * np.array([0, 0.3, 1.0])

    def images(
        self,
        pose: ImagePose,
        stream: int,
        phases: np.ndarray | None = None,
        matrix: tuple[int, int] | None = None,
        spacing: float | None = None,
    ) -> np.ndarray:
        """Scan one slice through the cycle: pixel values of 12 bits, uint16, shape ``(P, rows, columns)``.

        Args:
            pose: pose of the slice.
            stream: number of the acquisition; each acquisition has its own noise and breath-hold.
            phases: phases of the cycle; by default, all phases.
            matrix: columns and rows; the scanner's by default.
            spacing: pixel spacing, mm; the scanner's by default.
        """
        phases = self.phases if phases is None else phases
        images = self.scan(pose.moved(-self.breath(stream)), phases, self.rng(stream), matrix, spacing)
        return np.clip(np.round(images), 0, 4095).astype(np.uint16)

    def scan(
        self,
        pose: ImagePose,
        phases: np.ndarray,
        rng: np.random.Generator,
        matrix: tuple[int, int] | None = None,
        spacing: float | None = None,
    ) -> np.ndarray:
        """Scan one slice through the cycle: pixel values of 0 or more, float32, shape ``(P, rows, columns)``.

        Args:
            pose: pose of the slice, relative to the chest in this breath-hold.
            phases, matrix, spacing: see `images`.
            rng: generator of the noise.
        """
        scanner, heart, body = self.scanner, self.heart, self.body
        spacing = spacing or scanner.spacing
        points = image_points(pose, spacing, matrix or scanner.matrix, SHEETS * scanner.thickness)
        shape = points.shape[:3]
        points = points.reshape(-1, 3)
        columns = tuple(np.ascontiguousarray(points[:, axis]) for axis in range(3))
        still, depth = body.paint(columns, scanner.contrast, spacing)
        # only these points can be reached by the beating heart
        local, reach = heart.to_local(points), REACH.astype(np.float32)
        near = ((local > reach[:, 0]) & (local < reach[:, 1])).all(axis=-1)
        chambers = Chambers(heart, points[near], body.texture)
        middle = slice(len(SHEETS) // 2 * shape[1] * shape[2], (len(SHEETS) // 2 + 1) * shape[1] * shape[2])
        # the distance from the coil's elements varies from place to place
        uneven = body.texture(*(part[middle] for part in columns), 110, 10)
        coil = coil_shading(depth[middle], uneven, scanner.shading).reshape(shape[1:])
        images = np.empty((len(phases), *shape[1:]), dtype=np.float32)
        for image, phase in zip(images, phases, strict=True):
            moving = still[near]
            chambers.paint(moving, float(phase), scanner.contrast, spacing)
            signal = still.copy()
            signal[near] = moving
            image[:] = blurred(signal.reshape(shape).mean(axis=0), scanner.blur) * coil
        return magnitude(images, scanner.noise, rng) * np.float32(scanner.gain)

    def mask(self, pose: ImagePose, stream: int, phase: float, with_atria: bool = False) -> np.ndarray:
        """Labels of a slice as acquired, uint8, shape ``(rows, columns)``. They are drawn in the slice's middle plane."""
        points = image_points(pose.moved(-self.breath(stream)), self.scanner.spacing, self.scanner.matrix)
        return self.heart.label(points[0], phase, with_atria, self.scanner.whole_slices)
