"""One phantom exam: a patient, a scanner, planes prescribed as a technologist does, including typical errors, and the files:
DICOM series of one slice through the cycle, or volumes with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from planewise.workshop.phantoms.files import DicomFile, NiftiFile, Scanned, number
from planewise.workshop.phantoms.heart.body import Body
from planewise.workshop.phantoms.heart.heart import REACH, Chambers, Heart
from planewise.workshop.phantoms.heart.population import GROUPS, Patient, Population, Scanner
from planewise.workshop.phantoms.painting import (
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
    septum, inferior, axis = heart.axes
    turn = heart.shape.right_angle
    planes = {"sax": (heart.centre, axis)}
    for view, angle in (("2ch", -np.pi / 2), ("4ch", turn), ("3ch", turn - VIEW_STEP)):
        # the normal of a plane through the long axis is rotated by 90 degrees from the plane's own angle
        planes[view] = (heart.centre, -np.sin(angle) * septum + np.cos(angle) * inferior)
    depth = heart.shape.radius + heart.patient.wall + 0.45 * heart.shape.right_depth
    # the right ventricle's own axis leans towards the left ventricle's apex
    planes["rv_2ch"] = (heart.to_patient([depth, 0, -5]), rotation(inferior, np.radians(14.0)) @ septum)
    sideways = np.array([1.0, 0.06, -0.13])
    outflow = heart.to_patient([0.7 * depth, -0.8 * depth, -heart.shape.basal_length])
    planes["rvot"] = (outflow, sideways / np.linalg.norm(sideways))
    return planes


def lay_planes(
    heart: Heart, population: Population, rng: np.random.Generator, distance: float
) -> dict[str, list[ImagePose]]:
    """Prescribe planes as a technologist does, with the errors of a population. The result maps every view of `true_planes`
    to its poses: one for a long-axis view, and several from base to apex, ``distance`` mm apart, for ``sax``."""
    poses: dict[str, list[ImagePose]] = {}
    for view, (origin, normal) in true_planes(heart).items():
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
        pose = ImagePose(origin + population.image_shift * (right * row + down * column), row, column)
        poses[view] = _stack(heart, pose, distance, beyond) if view == "sax" else [pose]
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
    """A phantom exam. Its images are computed on request.

    ``poses`` maps each view to its poses; for ``sax``, they go from the base to the apex.
    """

    seeds: tuple[int, ...]
    heart: Heart
    body: Body
    scanner: Scanner
    poses: dict[str, list[ImagePose]]

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: Population, group: str | None = None) -> Exam:
        """Sample an exam of a population; other seeds give another exam. The diagnosis is drawn at random according to the
        population's shares, if ``group`` does not name it."""
        heart = cls.sample_organ(seeds, population, group)
        # separate streams of random numbers, so that a change to the body does not move the heart
        streams = [np.random.default_rng([*seeds, purpose]) for purpose in range(1, 4)]
        body = Body(streams[0], heart)
        scanner = Scanner.sample(streams[1], population)
        return cls(tuple(seeds), heart, body, scanner, lay_planes(heart, population, streams[2], scanner.distance))

    @staticmethod
    @lru_cache(maxsize=1)  # the data set's tables need it again
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

    def breath(self, stream: int) -> np.ndarray:
        """Displacement of the patient's chest in one breath-hold from its usual position: ``(3,)``, mm."""
        return self.rng(stream, 2).normal(0, self.scanner.breath) * np.array([0, 0.3, 1.0])

    def images(self, pose: ImagePose, stream: int, matrix: tuple[int, int] | None = None) -> np.ndarray:
        """Scan one slice through the cycle: pixel values of 12 bits, uint16, shape ``(P, rows, columns)``. Each acquisition
        (``stream``) has its own noise and breath-hold; ``matrix`` has columns and rows."""
        images = self.scan(pose.moved(-self.breath(stream)), self.rng(stream), matrix)
        return np.clip(np.round(images), 0, 4095).astype(np.uint16)

    def scan(self, pose: ImagePose, rng: np.random.Generator, matrix: tuple[int, int] | None = None) -> np.ndarray:
        """Scan one slice through the cycle, at a pose relative to the chest in this breath-hold: pixel values of 0 or more,
        float32, shape ``(P, rows, columns)``."""
        scanner, heart, body = self.scanner, self.heart, self.body
        points = image_points(pose, scanner.spacing, matrix or scanner.matrix, SHEETS * scanner.thickness)
        shape = points.shape[:3]
        points = points.reshape(-1, 3)
        columns = tuple(np.ascontiguousarray(points[:, axis]) for axis in range(3))
        still, depth = body.paint(columns, scanner.contrast, scanner.spacing)
        # only these points can be reached by the beating heart
        local, reach = heart.to_local(points), REACH.astype(np.float32)
        near = ((local > reach[:, 0]) & (local < reach[:, 1])).all(axis=-1)
        chambers = Chambers(heart, points[near], body.texture)
        middle = slice(len(SHEETS) // 2 * shape[1] * shape[2], (len(SHEETS) // 2 + 1) * shape[1] * shape[2])
        # the distance from the coil's elements varies from place to place
        uneven = body.texture(*(part[middle] for part in columns), 110, 10)
        coil = coil_shading(depth[middle], uneven, scanner.shading).reshape(shape[1:])
        images = np.empty((scanner.phases, *shape[1:]), dtype=np.float32)
        for image, phase in zip(images, self.phases, strict=True):
            moving = still[near]
            chambers.paint(moving, float(phase), scanner.contrast, scanner.spacing)
            signal = still.copy()
            signal[near] = moving
            image[:] = blurred(signal.reshape(shape).mean(axis=0), scanner.blur) * coil
        return magnitude(images, scanner.noise, rng) * np.float32(scanner.gain)

    def mask(self, pose: ImagePose, stream: int, phase: float) -> np.ndarray:
        """Labels of a slice as acquired, uint8, shape ``(rows, columns)``. They are drawn in the slice's middle plane."""
        points = image_points(pose.moved(-self.breath(stream)), self.scanner.spacing, self.scanner.matrix)
        return self.heart.label(points[0], phase, self.scanner.whole_slices)


# --- DICOM ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One acquisition of one slice through the cycle."""

    name: str  # in the header
    number: int  # also determines the file's names, the noise, the breath-hold and the identifiers
    pose: ImagePose
    matrix: tuple[int, int]  # columns and rows


def plan_series(exam: Exam, extra_views: float = 0.0) -> list[Series]:
    """The series of an exam, in the order of their numbers: 2ch, 4ch, one for each slice of the short-axis stack, and with
    the probability ``extra_views`` 3ch, the right ventricle's two-chamber view, and its outflow tract."""
    rng = exam.rng(3)
    across = exam.scanner.matrix
    upright = across[::-1]
    number = int(rng.integers(2, 6))
    planned = []
    for view, matrix in (("2ch", upright), ("4ch", across)):
        planned.append(Series(view, number, exam.poses[view][0], matrix))
        number += int(rng.integers(1, 4))
    order = exam.poses["sax"][:]
    # most stacks are numbered from base to apex, but some begin at the apex, and some are interrupted and resumed
    if rng.random() < 0.2:
        order.reverse()
    if rng.random() < 0.3:
        cut = int(rng.integers(1, len(order)))
        order = order[cut:] + order[:cut]
    for pose in order:
        planned.append(Series("sax", number, pose, across))
        number += 1 + int(rng.random() < 0.1)
    rng, number = exam.rng(4), planned[-1].number
    if rng.random() < extra_views:
        for view, neighbour in (("3ch", "4ch"), ("rv_2ch", "2ch"), ("rvot", "rvot")):
            # technologists copy a protocol for the next view and forget to rename it
            name = neighbour if rng.random() < 0.5 else view
            number += int(rng.integers(1, 4))
            planned.append(Series(name, number, exam.poses[view][0], upright))
    return planned


def series_files(exam: Exam, series: Series, identity: Mapping[str, str]) -> list[DicomFile]:
    """Scan one series, and describe every phase as a single-frame MR image."""
    scanner, key = exam.scanner, series.number
    images = exam.images(series.pose, key, series.matrix)
    # every series has its own breath-hold, with its own heart rate
    interval = scanner.interval * exam.rng(key, 1).uniform(0.96, 1.04)
    header = {
        "SeriesDescription": series.name, "ProtocolName": series.name, "SliceThickness": number(scanner.thickness),
        "SpacingBetweenSlices": number(scanner.distance), "RepetitionTime": number(scanner.interval / scanner.phases),
        "NominalInterval": round(interval), "CardiacNumberOfImages": len(images),
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "RETRO", "NORM", "DIS2D"], "BodyPartExamined": "HEART",
        "PatientPosition": "HFS", "ScanningSequence": "GR", "ScanOptions": ["CG", "PER"], "SequenceName": "*tfi2d1_12",
        "EchoTime": "1.4", "FlipAngle": "55",
    }  # fmt: skip
    poses = [series.pose] * len(images)
    datasets = exam.series(
        key, images, poses, scanner.spacing, 60 * key, 0.8 * float(images.max()), **header, **identity
    )
    for dataset, phase in zip(datasets, exam.phases, strict=True):
        dataset.TriggerTime = number(phase * interval)
    folder = PurePosixPath("study") / f"{series.name}_{key}"
    return [(folder / f"IM-{key:04d}-{rank:04d}.dcm", dataset) for rank, dataset in enumerate(datasets, 1)]


# --- NIfTI ---------------------------------------------------------------------------------------------------------------

#: Acquisition number of each view's first slice; the numbers of further short-axis slices increase by one.
VIEW_STREAMS = {"sax": 0, "2ch": 101, "4ch": 100}


def view_files(
    exam: Exam, view: str, codes: Mapping[int, int] | None, cine: str, frame: str = "", mask: str = ""
) -> list[NiftiFile]:
    """The files of a view, ``"sax"`` (from base to apex), ``"2ch"`` or ``"4ch"``: its cine and, at end-diastole and
    end-systole, its frame and its mask.

    The codes map labels of `Heart.label` to labels of the data set; all others become background. Without codes, there is
    only the cine. ``cine`` is the name of its file, without the ending; ``frame`` and ``mask`` are patterns for names of the
    other files, with ``{0}`` for ED or ES and ``{1}`` for the number of the frame, from 1.
    """
    slices = list(enumerate(exam.poses[view], start=VIEW_STREAMS[view]))
    images = np.stack([exam.images(pose, stream) for stream, pose in slices])
    volume, scanner, poses = images.transpose(3, 2, 0, 1).astype(np.int16), exam.scanner, exam.poses[view]
    affine = poses[0].affine((scanner.spacing, scanner.spacing), scanner.matrix, scanner.thickness)
    if len(poses) > 1:
        # the direction from slice to slice may be along the images' normal or against it
        affine[:3, 2] = poses[1].centre - poses[0].centre
    files = [NiftiFile(f"{cine}.nii.gz", volume, affine, scanner.interval / scanner.phases / 1000)]
    for phase, rank in (("ED", 0), ("ES", exam.end_systole)) if codes else ():
        drawn = np.stack([exam.mask(pose, stream, exam.phases[rank]) for stream, pose in slices]).transpose(2, 1, 0)
        table = np.zeros(256, dtype=np.uint8)
        table[list(codes)] = list(codes.values())
        for pattern, content in ((frame, volume[..., rank]), (mask, table[drawn])):
            files.append(NiftiFile(f"{pattern.format(phase, rank + 1)}.nii.gz", content, affine))
    return files
