"""The phantom knee: its findings, its position in patient space, the frames of its bones, and its landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planewise.workshop.phantoms.knee.population import KneePatient, KneePopulation, KneeShape
from planewise.workshop.phantoms.painting import Coordinates, rotation
from planewise.workshop.phantoms.settings import tables

#: Kinds of knees in the order of `KneePopulation.findings`: (abnormal, ACL tear, meniscal tear).
KINDS = tuple(map(tuple, tables("knee")["kinds"]))

#: Step of the sequence that assigns kinds to exams. It is the golden ratio, because its multiples fill the unit
#: interval most evenly.
GOLDEN = (np.sqrt(5) - 1) / 2

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
class Tear:
    """A cleft in a meniscus."""

    meniscus: str  # medial or lateral
    towards: float  # position along the C, radians: 0 is straight ahead, pi / 2 is at the rim, pi is straight behind
    reach: float  # half of the tear's length along the C, mm
    width: float  # of the cleft, mm
    slope: float  # increase of the cleft's height per mm towards the rim; with a large slope, the cleft is upright
    lost: float  # length that is missing at the free edge, mm
    strength: float  # share of fluid's signal in the cleft

    @classmethod
    def sample(cls, rng: np.random.Generator, severity: float) -> Tear:
        """Sample a tear, which is most often in the posterior horn of the medial meniscus."""
        medial = rng.random() < 0.68
        towards = rng.choice([2.65, 2.0, 0.8], p=[0.75, 0.17, 0.08]) + rng.normal(0, 0.18)
        return cls(
            meniscus="medial" if medial else "lateral",
            towards=float(towards),
            reach=float(rng.uniform(9, 16)),
            width=float(rng.uniform(1.5, 2.9) * severity),
            slope=float(rng.choice([-1, 1]) * rng.uniform(0.3, 2.0)),
            lost=float((rng.random() < 0.3) * rng.uniform(2, 5) * severity),
            strength=float(min(rng.uniform(0.6, 1.0) * severity, 1.0)),
        )


@dataclass(frozen=True)
class Oedema:
    """A bruise or swelling of the marrow."""

    bone: str  # ``femur``, ``tibia`` or ``patella``
    centre: np.ndarray  # in the bone's frame, (3,), mm
    radius: float  # mm
    strength: float


@dataclass(frozen=True)
class Findings:
    """Labels of a knee, and how visible each sign is. Sizes are in mm of an average knee."""

    abnormal: bool
    acl_tear: bool
    meniscal_tear: bool
    acl_gap: float  # missing or swollen share of the ligament's length; 0 is intact
    acl_place: float  # middle of the gap as a share of the way from femur to tibia
    acl_strength: float  # share of fluid's signal in the gap
    tears: tuple[Tear, ...]
    oedemas: tuple[Oedema, ...]
    effusion: float  # half the depth of the recess above the patella; every knee has a film of fluid
    cartilage_loss: float  # depth of a defect in the femur's cartilage
    loss_place: tuple[float, float]  # of this defect: x in the femur's frame, and angle backwards from down, radians
    cyst: float  # radius of a Baker's cyst; 0 if there is none
    degeneration: float  # brightness of grey areas in the menisci, which look like a tear but do not reach the surface
    magic_angle: float  # brightness of tendons that run obliquely to the field, which also occurs in healthy knees

    @property
    def labels(self) -> dict[str, int]:
        """The three labels under MRNet's names."""
        return {"abnormal": int(self.abnormal), "acl": int(self.acl_tear), "meniscus": int(self.meniscal_tear)}

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation, kind: tuple[bool, bool, bool]) -> Findings:
        """Sample the signs of a knee whose kind is one of `KINDS`."""
        abnormal, acl, meniscus = kind
        severity = population.severity
        strong = severity * np.clip(rng.normal(1.0, 0.2, 4), 0.5, 1.4)
        chances = tables("knee")["chances"]["acl" if acl else "meniscus" if meniscus else "other"]
        signs = rng.random(4) < np.array(chances) * abnormal
        if abnormal and not (acl or meniscus or signs.any()):
            signs[rng.integers(4)] = True
        effused, oedematous, worn, cystic = signs
        tears = [Tear.sample(rng, severity) for _ in range(2)]
        # the second tear of a knee is rare
        count = int(meniscus) * (1 + int(rng.random() < 0.2))
        film = rng.uniform(0.3, 1.3)
        oedemas = _sample_oedemas(rng, acl, tears[0] if meniscus else None, severity) if oedematous else ()
        return cls(
            abnormal=abnormal,
            acl_tear=acl,
            meniscal_tear=meniscus,
            acl_gap=float(acl * min(rng.uniform(0.35, 0.75) * strong[0], 0.9)),
            acl_place=float(rng.uniform(0.3, 0.6)),
            acl_strength=float(min(rng.uniform(0.45, 0.85) * strong[0], 1.0)),
            tears=tuple(tears[:count]),
            oedemas=oedemas,
            effusion=float(film + effused * np.clip(rng.lognormal(np.log(4.5), 0.4), 2.0, 11.0) * strong[1]),
            cartilage_loss=float(worn * rng.uniform(1.2, 2.6) * strong[2]),
            loss_place=(float(rng.choice([-22, -22, 22])), float(rng.uniform(-0.5, 0.9))),
            cyst=float(cystic * np.clip(rng.normal(6.5, 2), 3.5, 11) * strong[3]),
            degeneration=float(max(rng.normal(0.1, 0.15), 0)),
            magic_angle=float(rng.uniform(0, 0.35)),
        )


def dealt_kind(seeds: tuple[int, ...], number: int, shares: tuple[float, ...]) -> tuple[bool, bool, bool]:
    """Determine the kind of exam ``number`` in a set with these seeds, which determine the start of the sequence.

    The probability of each kind is its share. Exams with neighbouring numbers are of different kinds, so a small set has
    about the same proportions as a large one.
    """
    place = (np.random.default_rng([*seeds, 7927]).random() + number * GOLDEN) % 1.0
    bounds = np.cumsum(shares) / np.sum(shares)
    return KINDS[min(int(np.searchsorted(bounds, place, side="right")), len(KINDS) - 1)]


def _sample_oedemas(rng: np.random.Generator, acl: bool, tear: Tear | None, severity: float) -> tuple[Oedema, ...]:
    """Sample the bruises of a knee: one or both of an ACL tear, the one under a torn meniscus, or a usual one."""
    known = tables("knee")
    if acl:
        places = known["kissing"][: int(rng.integers(1, 3))]
    elif tear:
        places = [known["under_a_tear"][tear.meniscus]]
    else:
        places = [known["usual"][rng.integers(len(known["usual"]))]]
    return tuple(
        Oedema(
            bone,
            np.array(centre) + rng.normal(0, 3, 3),
            float(rng.uniform(7, 14) * (0.7 if bone == "patella" else 1)),
            float(min(rng.uniform(0.45, 0.9) * severity, 1.0)),
        )
        for bone, centre in places
    )


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
    centre: np.ndarray  # origin of the knee's frame in patient space, (3,), RAS+, mm
    axes: np.ndarray  # rows are the frame's axes in patient space, (3, 3)

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation, kind: tuple[bool, bool, bool]) -> Knee:
        """Sample a knee with findings of one of `KINDS`."""
        patient = KneePatient.sample(rng, population.left)
        shape = KneeShape.sample(rng, population, patient.height)
        findings = Findings.sample(rng, population, kind)
        turn, abduction, lean = np.clip(rng.standard_normal(3), -2.1, 2.1)
        aside = 0.0 if rng.random() < population.centred else rng.uniform(70, 120)
        side = -1.0 if patient.left else 1.0
        centre = np.array([side * aside, 0.0, 0.0]) + rng.normal(0, 1, 3) * np.array([8, 8, 15])
        across, ahead, up = np.eye(3)
        turned = (
            rotation(across, np.radians(population.lean * lean))
            @ rotation(ahead, np.radians(population.abduction * abduction))
            @ rotation(up, np.radians(population.leg_rotation * turn))
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

    def _angle(self, bone: str) -> float:
        """Rotation of a bone's frame. One half of the flexion tilts the femur, the other half the tibia, so that z stays
        midway between them."""
        half = self.shape.flexion / 2
        return {"femur": half, "tibia": -half, "patella": half - PATELLA_SHARE * self.shape.flexion}[bone]

    def into(self, bone: str, at: Coordinates) -> Coordinates:
        """Transform points from the knee's frame to a bone's frame."""
        angle = self._angle(bone)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        y0, z0 = (np.float32(value) for value in HINGE)
        y, z = at[1] - y0, at[2] - z0
        return at[0], cosine * y + sine * z + y0, cosine * z - sine * y + z0

    def out_of(self, bone: str, point: Sequence[float]) -> np.ndarray:
        """Transform a point ``(3,)`` from a bone's frame to the knee's frame."""
        angle = self._angle(bone)
        y, z = point[1] - HINGE[0], point[2] - HINGE[1]
        across = np.cos(angle) * y - np.sin(angle) * z + HINGE[0]
        return np.array([point[0], across, np.cos(angle) * z + np.sin(angle) * y + HINGE[1]])

    @cached_property
    def patella_centre(self) -> np.ndarray:
        """Middle of the patella in its own frame, ``(3,)``."""
        return PATELLA + np.array([self.shape.patella_side, 0.0, self.shape.patella_height])

    @cached_property
    def landmarks(self) -> dict[str, np.ndarray]:
        """Landmarks that define the courses of ligaments and the planes, in the knee's frame, each ``(3,)``."""
        places = deepcopy(tables("knee")["landmarks"])
        femur, patella = places["femur"], places["patella"]
        femur["acl_femur"][0], femur["pcl_femur"][0] = self.shape.notch_width, -self.shape.notch_width
        femur["medial_back"][1] -= self.shape.medial_back
        patella |= {name: self.patella_centre + np.array(offset) for name, offset in patella.items()}
        found = {name: self.out_of(bone, point) for bone, own in places.items() for name, point in own.items()}
        return found | {"middle": MIDDLE}

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
