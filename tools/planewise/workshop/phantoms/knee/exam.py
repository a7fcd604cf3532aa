"""One phantom knee exam: a knee, a scanner, stacks prescribed as a technologist does, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from planewise.workshop.phantoms.files import DicomFile, Scanned, number
from planewise.workshop.phantoms.knee.knee import EPICONDYLE, Knee, dealt_kind
from planewise.workshop.phantoms.knee.leg import Leg
from planewise.workshop.phantoms.knee.population import KneePatient, KneePopulation, KneeScanner, Protocol
from planewise.workshop.phantoms.painting import (
    SHEETS,
    ImagePose,
    blurred,
    coil_shading,
    image_points,
    magnitude,
    rotation,
)
from planewise.workshop.phantoms.settings import tables

#: Rotation of a sagittal stack that follows the anterior cruciate ligament, radians.
OBLIQUE = np.radians(10.0)


def true_planes(knee: Knee) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The planes that follow from the anatomy (Zhang 2024, section 5.1.2), all through the middle of the joint.

    - ``axial``: perpendicular to the common middle line of femur and tibia;
    - ``coronal``: parallel to this line and to the line along the backs of the condyles;
    - ``sagittal``: perpendicular to the line along the backs of the condyles.

    Returns:
        Maps each view to the origin and the unit normal of its plane, RAS+, mm.
    """
    middle = knee.to_patient(knee.landmarks["middle"])
    up, across = knee.middle_line, knee.condylar_line
    return {"sagittal": (middle, across), "coronal": (middle, np.cross(up, across)), "axial": (middle, up)}


def lay_stacks(
    knee: Knee, population: KneePopulation, rng: np.random.Generator, protocols: dict[str, Protocol]
) -> dict[str, list[ImagePose]]:
    """Prescribe stacks as a technologist does, with the errors of a population; ``sagittal_plain`` is like ``sagittal``.

    The result maps each protocol's name to the poses of its stack. Sagittal stacks go from the patient's left to right,
    coronal stacks from front to back, and axial stacks from the feet up; each may also be in reverse order.
    """
    stacks = {}
    # to follow the ligament, the front of the stack rotates to the inner side
    outward = 1.0 if knee.patient.left else -1.0
    oblique = outward * OBLIQUE if rng.random() < population.oblique else 0.0
    for view, (middle, normal) in true_planes(knee).items():
        turn, tilt, tilt_towards, offset, rotate, right, down = rng.standard_normal(7)
        backwards = rng.random() < 0.3
        beyond = rng.uniform(*population.coverage, 2)
        if view != "axial":
            angle = np.radians(population.turn_error) * turn + (oblique if view == "sagittal" else 0.0)
            normal = rotation(knee.middle_line, angle) @ normal
        basis = np.linalg.svd(normal[None])[2][1:]
        lever = np.cos(tilt_towards * np.pi) * basis[0] + np.sin(tilt_towards * np.pi) * basis[1]
        normal = rotation(lever, np.radians(population.tilt_error) * np.clip(tilt, -2.5, 2.5)) @ normal
        row, column = _directions(normal, view, np.radians(population.image_rotation) * np.clip(rotate, -2.5, 2.5))
        shift = population.image_shift * (right * row + down * column)
        pose = ImagePose(middle + population.offset_error * offset * normal + shift, row, column)
        for name in ("sagittal", "sagittal_plain") if view == "sagittal" else (view,):
            places = _places(knee, protocols[name], beyond)
            # sagittal pictures are viewed from the patient's left or right, and are numbered in either direction
            stacks[name] = [pose.moved(place * pose.normal) for place in (places[::-1] if backwards else places)]
    return stacks


def _places(knee: Knee, protocol: Protocol, beyond: np.ndarray) -> np.ndarray:
    """Distances of a stack's slices from its middle, mm."""
    count, distance, aside = protocol.count, protocol.distance, 0.0
    if count is None:
        # the stack extends beyond both epicondyles
        count = int(np.round((2 * EPICONDYLE * knee.shape.scale + beyond.sum()) / distance)) + 1
        aside = (beyond[1] - beyond[0]) / 4
    return (np.arange(count) - (count - 1) / 2) * distance + aside


def _directions(normal: np.ndarray, view: str, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """The directions of rows and columns in the usual display. The patient's front (sagittal) or right side is on the
    left; the head or (axial) the front is at the top."""
    down, right = {
        "sagittal": ((0, 0, -1.0), (0, -1.0, 0)),
        "coronal": ((0, 0, -1.0), (-1.0, 0, 0)),
        "axial": ((0, -1.0, 0), (-1.0, 0, 0)),
    }[view]
    column = np.array(down) - (np.array(down) @ normal) * normal
    column /= np.linalg.norm(column)
    row = np.cross(column, normal)
    row *= np.sign(row @ np.array(right))
    spin = rotation(np.cross(row, column), turn)
    return spin @ row, spin @ column


#: Technologists' names for views and weightings.
NAMES = tables("knee")["names"]
#: Number of points that are painted at once.
POINTS = 25_000


@dataclass(frozen=True)
class KneeExam(Scanned):
    """A phantom exam. Its images are computed on request.

    ``poses`` maps the name of each of the scanner's protocols to the poses of its slices.
    """

    seeds: tuple[int, ...]
    knee: Knee
    leg: Leg
    scanner: KneeScanner
    poses: dict[str, list[ImagePose]]

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: KneePopulation) -> KneeExam:
        """Sample an exam of a population; ``seeds`` identify it, and the last of them is its number in the set."""
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

    def image(self, pose: ImagePose, protocol: Protocol, *stream: int) -> np.ndarray:
        """Scan one slice: pixel values, float32, shape ``(rows, columns)``. ``stream`` identifies the slice's noise."""
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

    def volume(self, name: str) -> np.ndarray:
        """Scan a whole stack, given the name of its protocol: float32, shape ``(slices, rows, columns)``."""
        protocol = self.scanner.protocols[name]
        return np.stack([self.image(pose, protocol, 0, rank) for rank, pose in enumerate(self.poses[name])])


@dataclass(frozen=True)
class KneeSeries:
    """One scanned stack, and its description in the header; None leaves it out."""

    description: str | None
    number: int  # also determines the noise and the identifiers
    poses: list[ImagePose]
    protocol: Protocol


def plan_series(exam: KneeExam, population: KneePopulation) -> list[KneeSeries]:
    """The series of an exam, in the order of their numbers: sagittal with fat suppression, coronal, axial, and the optional
    series of a population."""
    rng = exam.rng(3)
    names = ["sagittal", "coronal", "axial"]
    if rng.random() < population.plain_sagittal:
        names.append("sagittal_plain")
    rng.shuffle(names)
    number = int(rng.integers(2, 5))
    planned = [_localizer(exam)] if exam.rng(5).random() < population.localizer else []
    for name in names:
        protocol = exam.scanner.protocols[name]
        description: str | None = _described(name.removesuffix("_plain"), protocol.weighting, rng)
        if rng.random() < population.poor_names:
            description = NAMES["poor"][rng.integers(len(NAMES["poor"]))]
        planned.append(KneeSeries(description, number, exam.poses[name], protocol))
        number += int(rng.integers(1, 3))
    return planned


def _described(view: str, weighting: str, rng: np.random.Generator) -> str:
    """A series description in the style of a technologist."""
    plane, kind = (str(rng.choice(NAMES[name])) for name in (view, weighting))
    words = [kind, plane] if rng.random() < 0.25 else [plane, kind]
    return ("_" if "_" in kind else " ").join(words)


def _localizer(exam: KneeExam) -> KneeSeries:
    """Coarse, fast axial, coronal and sagittal pictures in one series, three of each, along the scanner's axes."""
    usual = exam.scanner.protocols["coronal"]
    columns = max(4 * round(usual.matrix[0] / 8), 16)
    spacing = round(usual.spacing * usual.matrix[0] * 1.3 / columns, 4)
    left, back, down = np.diag([-1.0, -1.0, -1.0])
    poses = [
        ImagePose(exam.knee.centre + place * np.cross(row, column), row, column)
        for row, column in ((left, back), (left, down), (back, down))
        for place in (-22.0, 0.0, 22.0)
    ]
    return KneeSeries("3-pl loc", 1, poses, Protocol("t1", spacing, (columns,) * 2, 6.0, 16.0, usual.contrast, 0.0))


def series_files(exam: KneeExam, series: KneeSeries, identity: Mapping[str, str]) -> list[DicomFile]:
    """Scan one series, and describe every slice as a single-frame MR image."""
    protocol, key, description = series.protocol, series.number, series.description
    images = [
        np.clip(np.round(exam.image(pose, protocol, key, rank)), 0, 4095).astype(np.uint16)
        for rank, pose in enumerate(series.poses)
    ]
    rng = exam.rng(key, 3)
    repetition, echo = (float(np.round(rng.uniform(*span))) for span in tables("knee")["times"][protocol.weighting])
    # manufacturers write fat saturation in different ways
    options = rng.choice(["FS", "SFS", "PFP\\FS"] if protocol.weighting.endswith("_fs") else ["", "PFP"])
    train = 3 if protocol.weighting == "t1" else 9
    header = {
        "SeriesDescription": description, "ProtocolName": description, "SliceThickness": number(protocol.thickness),
        "SpacingBetweenSlices": number(protocol.distance), "RepetitionTime": number(repetition), "EchoTime": number(echo),
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"], "BodyPartExamined": "KNEE", "ScanningSequence": "SE",
        "PatientPosition": "FFS" if exam.scanner.feet_first else "HFS", "Laterality": "L" if exam.patient.left else "R",
        "ScanOptions": str(options).split("\\"), "SequenceName": f"*tse2d1_{train}", "EchoTrainLength": train,
        "FlipAngle": "150",
    }  # fmt: skip
    brightest = float(np.percentile(images, 99.5))
    datasets = exam.series(key, images, series.poses, protocol.spacing, 180 * key, brightest, **header, **identity)
    name = "".join(letter if letter.isalnum() else "_" for letter in description or "")
    folder = PurePosixPath(f"study_{exam.seeds[-1]}/MR{key}_{name}")
    return [(folder / f"{rank:04d}.dcm", dataset) for rank, dataset in enumerate(datasets, 1)]
