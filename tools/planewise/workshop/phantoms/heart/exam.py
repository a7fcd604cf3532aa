"""One phantom exam: a patient, a scanner, and planes prescribed as a technologist does, including typical errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.workshop.phantoms.files import Scanned
from planewise.workshop.phantoms.heart.body import Body
from planewise.workshop.phantoms.heart.heart import REACH, Chambers, Heart
from planewise.workshop.phantoms.heart.population import GROUPS, Patient, Population, Scanner
from planewise.workshop.phantoms.imaging import (
    SHEETS,
    ImagePose,
    blurred,
    coil_shading,
    image_points,
    magnitude,
    rotation,
)

#: Angle about the long axis between neighbouring long-axis views, which are 4ch, 3ch and 2ch in this order.
VIEW_STEP = np.radians(60)


def true_planes(heart: Heart) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The planes that follow from the anatomy (Zhang 2024, section 3).

    - ``sax``: perpendicular to the left ventricle's long axis;
    - ``4ch``: through the long axis and the lowest point of the right ventricle towards the apex;
    - ``2ch``: through the long axis, parallel to the septum;
    - ``3ch``: through the long axis, midway between 4ch and 2ch;
    - ``rv_2ch``: through the right ventricle's own long axis, parallel to the septum;
    - ``rvot``: upright, through the outflow tract of the right ventricle.

    Returns:
        Maps each view to the origin and the unit normal of its plane, RAS+, mm.
    """
    axis, septum = heart.axes[2], heart.axes[0]
    turn = heart.shape.right_angle
    # the normal of a plane through the long axis is rotated by 90 degrees from the plane's own angle
    normals = {
        view: -np.sin(angle) * heart.axes[0] + np.cos(angle) * heart.axes[1]
        for view, angle in (("4ch", turn), ("3ch", turn - VIEW_STEP), ("2ch", -np.pi / 2))
    }
    planes = {view: (heart.centre, normal) for view, normal in normals.items()}
    planes["sax"] = (heart.centre, axis)
    depth = heart.shape.radius + heart.patient.wall + 0.45 * heart.shape.right_depth
    # the right ventricle's own axis leans towards the left ventricle's apex
    lean = rotation(heart.axes[1], np.radians(14.0))
    planes["rv_2ch"] = (heart.to_patient([depth, 0, -5]), lean @ septum)
    outflow = heart.to_patient([0.7 * depth, -0.8 * depth, -heart.shape.basal_length])
    sideways = np.array([1.0, 0.06, -0.13])
    planes["rvot"] = (outflow, sideways / np.linalg.norm(sideways))
    return planes


def lay_planes(
    heart: Heart,
    population: Population,
    rng: np.random.Generator,
    distance: float,
) -> dict[str, list[ImagePose]]:
    """Prescribe planes as a technologist does, with errors.

    Args:
        heart: the heart for which planes are prescribed.
        population: the population, which determines the size of the errors.
        rng: generator of the errors.
        distance: distance between the centres of neighbouring short-axis slices, mm.

    Returns:
        Maps every view of `true_planes` to its poses: one for a long-axis view, and several from base to apex for ``sax``.
    """
    planes = true_planes(heart)
    poses: dict[str, list[ImagePose]] = {}
    for view in ("sax", "2ch", "4ch", "3ch", "rv_2ch", "rvot"):
        origin, normal = planes[view]
        turn, tilt, tilt_towards, offset = rng.standard_normal(4)
        rotate, right, down = rng.standard_normal(3)
        upside_down = rng.random() < 0.5
        beyond = rng.uniform(*population.coverage, 2)
        if view == "sax":
            across = np.cos(tilt_towards * np.pi) * heart.axes[0] + np.sin(tilt_towards * np.pi) * heart.axes[1]
        else:
            normal = rotation(heart.long_axis, np.radians(population.turn_error) * turn) @ normal
            across = np.cross(normal, heart.long_axis)
            across /= np.linalg.norm(across)
        normal = rotation(across, np.radians(population.tilt_error) * tilt) @ normal
        normal /= np.linalg.norm(normal)
        if view == "sax":
            # rows run to the patient's left, at right angles to front and back; columns run down and to the back
            from_apex = normal * -np.sign(normal[1])
            row = np.array([-from_apex[2], 0.0, from_apex[0]])
            row /= np.linalg.norm(row)
            turned = rotation(normal, np.radians(population.image_rotation) * rotate)
            row, column = turned @ row, turned @ np.cross(from_apex, row)
            # the image is centred between the ventricles
            origin = heart.to_patient([12, 0, 0])
        else:
            row, column = _long_axis_directions(normal, view, upside_down)
            origin = origin + population.offset_error * offset * normal
            origin = origin + (heart.centre - origin) - ((heart.centre - origin) @ normal) * normal
        shift = population.image_shift * (right * row + down * column)
        centre = origin + shift
        if view == "sax":
            poses[view] = _stack(heart, ImagePose(centre, row, column), distance, beyond)
        else:
            poses[view] = [ImagePose(centre, row, column)]
    return poses


def _stack(heart: Heart, pose: ImagePose, distance: float, beyond: np.ndarray) -> list[ImagePose]:
    """The poses of slices from the base to the apex, with ``beyond`` additional slice distances at each end."""
    direction = pose.normal * np.sign(pose.normal @ heart.long_axis)
    cosine = direction @ heart.long_axis
    # positions are measured on the long axis, so that a tilted stack still begins at the base
    start = (heart.centre - pose.centre) @ direction - cosine * heart.shape.basal_length - beyond[0] * distance
    end = (heart.centre - pose.centre) @ direction + cosine * heart.apex + (beyond[1] - 0.5) * distance
    count = max(int(np.floor((end - start) / distance)) + 1, 3)
    return [pose.moved(direction * (start + k * distance)) for k in range(count)]


def _long_axis_directions(normal: np.ndarray, view: str, upside_down: bool) -> tuple[np.ndarray, np.ndarray]:
    """The directions of rows and columns in the usual convention of scanners, which depends on the body plane nearest to
    the view."""
    if view == "4ch":
        row = np.array([-normal[2], 0.0, normal[0]])
        row *= -np.sign(row[0]) / np.linalg.norm(row)  # to the left
        column = np.cross(normal, row)
        # views from the feet (columns run to the back) and from the front (columns run down) are both in use
        return row, column * np.sign(column[2]) * (1 if upside_down else -1)
    row = np.array([-normal[1], normal[0], 0.0])
    row /= np.linalg.norm(row)
    # sagittal pictures have the patient's front on the left; coronal pictures have the patient's right side on the left
    row *= -np.sign(row[1]) if abs(normal[0]) > abs(normal[1]) else -np.sign(row[0])
    column = np.cross(normal, row)
    return row, -column * np.sign(column[2])


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
        body = Body(streams[0], heart)
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

    def mask(self, pose: ImagePose, stream: int, phase: float) -> np.ndarray:
        """Labels of a slice as acquired, uint8, shape ``(rows, columns)``. They are drawn in the slice's middle plane."""
        points = image_points(pose.moved(-self.breath(stream)), self.scanner.spacing, self.scanner.matrix)
        return self.heart.label(points[0], phase, self.scanner.whole_slices)
