"""One phantom knee exam: a knee, a scanner, and the prescribed stacks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.knee.findings import Findings, dealt_kind
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.knee.leg import Leg
from planewise.phantoms.knee.patient import KneePatient
from planewise.phantoms.knee.planes import lay_stacks
from planewise.phantoms.knee.population import KneePopulation
from planewise.phantoms.knee.scanner import KneeScanner, Protocol
from planewise.phantoms.scanner.dicom import Scanned
from planewise.phantoms.scanner.imaging import SHEETS, blurred, coil_shading, image_points, magnitude
from planewise.phantoms.scanner.pose import ImagePose

#: Number of points that are painted at once.
POINTS = 25_000


@dataclass(frozen=True)
class KneeExam(Scanned):
    """A phantom exam. Its images are computed on request."""

    seeds: tuple[int, ...]
    knee: Knee
    leg: Leg
    scanner: KneeScanner
    poses: dict[str, list[ImagePose]]
    """Maps the name of each of the scanner's protocols to the poses of its slices"""

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: KneePopulation) -> KneeExam:
        """Sample an exam.

        Args:
            seeds: numbers that identify the exam; the last is its number in the set.
            population: the population to which the exam belongs.
        """
        knee = cls.sample_organ(seeds, population)
        streams = [np.random.default_rng([*seeds, purpose]) for purpose in range(1, 4)]
        leg = Leg.sample(streams[0], knee)
        scanner = KneeScanner.sample(streams[1], population)
        return cls(tuple(seeds), knee, leg, scanner, lay_stacks(knee, population, streams[2], scanner.protocols))

    @staticmethod
    def sample_organ(seeds: tuple[int, ...], population: KneePopulation) -> Knee:
        """Sample only the knee of the exam that `sample` returns for the same arguments."""
        *others, number = seeds
        kind = dealt_kind(tuple(others), number, population.findings)
        return Knee.sample(np.random.default_rng([*seeds, 0]), population, kind)

    @property
    def patient(self) -> KneePatient:
        """The patient."""
        return self.knee.patient

    @property
    def findings(self) -> Findings:
        """Findings of the knee, with its labels."""
        return self.knee.findings

    def image(self, pose: ImagePose, protocol: Protocol, *stream: int) -> np.ndarray:
        """Scan one slice: pixel values, float32, shape ``(rows, columns)``.

        Args:
            pose: pose of the slice.
            protocol: sequence of the scan.
            stream: numbers that identify the slice's noise.
        """
        scanner = self.scanner
        points = image_points(pose, protocol.spacing, protocol.matrix, SHEETS * protocol.thickness)
        edge = protocol.spacing / self.knee.shape.scale
        signal, near = np.empty(points.shape[1:3], np.float32), np.empty(points.shape[1:3], np.float32)
        # rows are painted in strips whose arrays fit into the cache of a core
        strip = max(POINTS // (len(SHEETS) * points.shape[2]), 1)
        for first in range(0, points.shape[1], strip):
            rows = slice(first, first + strip)
            local = self.knee.to_local(points[:, rows])
            at = tuple(np.ascontiguousarray(local[..., axis]) for axis in range(3))
            painted, depth = self.leg.paint(at, protocol.contrast, edge, protocol.unsuppressed)
            middle = len(SHEETS) // 2
            uneven = self.leg.unevenness(tuple(part[middle] for part in at))
            signal[rows] = painted.mean(axis=0)
            near[rows] = coil_shading(depth[middle], uneven, scanner.shading)
        image = blurred(signal, scanner.blur) * near
        return magnitude(image, scanner.noise, self.rng(*stream)) * np.float32(scanner.gain)

    def volume(self, name: str, stream: int = 0) -> np.ndarray:
        """Scan a whole stack, given the name of its protocol: float32, shape ``(slices, rows, columns)``."""
        protocol = self.scanner.protocols[name]
        return np.stack([self.image(pose, protocol, stream, rank) for rank, pose in enumerate(self.poses[name])])
