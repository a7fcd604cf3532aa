"""Knees' patients, shapes, scanners and populations: every number that determines their variation and difficulty."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, replace

import numpy as np

from planewise.workshop.phantoms.settings import declared, tables


class KneePopulation(declared("knee")):
    """Spread of knees, findings, planes and scanners in one set of exams."""

    def demo(self) -> KneePopulation:
        """The same population with about 128 pixels, thick slices 6 mm apart, and five or seven slices in coronal and axial
        stacks, which takes about a twentieth of the work."""
        slices = ((4.0, 1.8), (4.5, 1.5), (5.0, 1.2))
        stacks = {"slices": slices, "across": (5.0, 7.0), "span": (50.0, 60.0)}
        return replace(self, spacing=(1.1, 1.35), matrix=self.matrix // 2, **stacks)


#: Exams for pretraining, as in fastMRI: many scanners and protocols, no labels.
KNEE_UNLABELLED = KneePopulation()

#: Exams with labels, as in MRNet.
KNEE_LABELLED = KneePopulation.named("labelled")


@dataclass(frozen=True)
class KneePatient:
    """Sex, size and side."""

    sex: str
    height: float  # cm
    weight: float  # kg
    left: bool

    @classmethod
    def sample(cls, rng: np.random.Generator, left: float) -> KneePatient:
        """An adult; ``left`` is the probability of a left knee."""
        male = rng.random() < 0.55
        height = np.clip(rng.normal(177, 7) if male else rng.normal(165, 6.5), 148, 202)
        index = np.clip(rng.normal(26, 4), 18, 40)
        weight = index * (height / 100) ** 2
        return cls("M" if male else "F", float(np.round(height)), float(np.round(weight)), bool(rng.random() < left))


@dataclass(frozen=True)
class KneeShape:
    """Deviations from the average knee. Lengths are in mm of the average knee; ``scale`` stretches the whole knee."""

    scale: float
    flexion: float  # angle between femur and tibia, radians
    medial_back: float  # length of the medial condyle beyond the lateral one at the back
    condyle_length: float  # factor on the extent of the condyles from front to back
    notch_width: float  # half width of the intercondylar notch
    groove: float  # depth of the trochlear groove
    slope: float  # of the plateau towards the back, per mm
    patella_height: float  # displacement of the patella upwards
    patella_side: float  # displacement of the patella to the lateral side
    bulk: float  # factor on the muscles' thickness
    fat: float  # thickness of the fat under the skin

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation, height: float) -> KneeShape:
        """Sample a shape with the spread of a population; tall patients (``height``, cm) have large knees."""
        spread = population.shape * np.clip(rng.standard_normal(10), -2, 2)
        return cls(
            scale=float(np.clip(height / 173 * np.exp(0.035 * spread[0]), 0.82, 1.18)),
            flexion=float(np.radians(rng.uniform(*population.flexion))),
            medial_back=float(2.0 + 1.0 * spread[1]),
            condyle_length=float(np.exp(0.03 * spread[2])),
            notch_width=float(9.5 + 0.7 * spread[3]),
            groove=float(5.5 + 0.9 * spread[4]),
            slope=float(0.11 + 0.025 * spread[5]),
            patella_height=float(3.5 * spread[6]),
            patella_side=float(2.0 + 1.5 * spread[7]),
            bulk=float(np.exp(0.12 * spread[8])),
            fat=float(rng.uniform(*population.fat)),
        )


#: Signal of each tissue in one weighting, relative to the brightest.
KneeContrast = namedtuple("KneeContrast", list(tables("knee")["weightings"]["pd"]))

#: Maps each weighting to its signals.
WEIGHTINGS = {name: KneeContrast(**signals) for name, signals in tables("knee")["weightings"].items()}


def varied(contrast: KneeContrast, rng: np.random.Generator, spread: float) -> KneeContrast:
    """The same weighting on another scanner, where every tissue is brighter or darker by a random factor."""
    factors = np.exp(spread * np.clip(rng.standard_normal(len(contrast)), -2, 2))
    return KneeContrast(*(value * float(factor) for value, factor in zip(contrast, factors, strict=True)))


@dataclass(frozen=True)
class Protocol:
    """One sequence of a scanner."""

    weighting: str  # a key of `WEIGHTINGS`
    spacing: float  # mm, the same along rows and columns
    matrix: tuple[int, int]  # columns and rows
    thickness: float  # mm
    gap: float  # mm between slices
    contrast: KneeContrast
    unsuppressed: float  # signal of fat where fat suppression fails
    count: int | None = None  # number of slices of a stack; None means as many as are needed to cover the knee

    @property
    def distance(self) -> float:
        """Distance between centres of neighbouring slices, mm."""
        return self.thickness + self.gap


@dataclass(frozen=True)
class KneeScanner:
    """Scan settings of one exam."""

    protocols: dict[str, Protocol]  # ``sagittal``, ``sagittal_plain``, ``coronal``, ``axial``
    noise: float  # share of the brightest tissue's signal
    shading: float
    blur: float
    gain: float  # pixel value of the brightest tissue
    field_strength: float  # tesla
    feet_first: bool

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation) -> KneeScanner:
        """Sample a scanner with its protocols; each sequence has its own matrix and slices."""
        weightings = {
            "sagittal": "t2_fs",
            "sagittal_plain": "pd",
            "coronal": str(rng.choice(["pd_fs", "t1", "pd"], p=[0.6, 0.25, 0.15])),
            "axial": str(rng.choice(["t2_fs", "pd_fs"])),
        }
        field = rng.uniform(*population.field)
        protocols = {}
        for name, weighting in weightings.items():
            sagittal = name.startswith("sagittal")
            side = field * (1.0 if sagittal else rng.uniform(0.92, 1.05))
            spacing = rng.uniform(*population.spacing)
            # scanners reconstruct matrices that are multiples of four
            matrix = population.matrix or int(4 * np.round(side / spacing / 4))
            thickness, gap = population.slices[rng.integers(len(population.slices))]
            count = None
            if not sagittal:
                # an odd number, so that there is a middle slice
                low, high = (int(value) // 2 for value in population.across)
                count = 2 * int(rng.integers(low, high + 1)) + 1
                distance = round(rng.uniform(*population.span) / (count - 1), 2)
                thickness = min(thickness, round(0.95 * distance, 1))
                gap = round(distance - thickness, 2)
            protocols[name] = Protocol(
                weighting=weighting,
                spacing=round(side / matrix, 4),
                matrix=(matrix, matrix),
                thickness=thickness,
                gap=gap,
                contrast=varied(WEIGHTINGS[weighting], rng, population.contrast),
                unsuppressed=float(rng.uniform(*population.suppression)) if weighting.endswith("_fs") else 0.0,
                count=count,
            )
        return cls(
            protocols=protocols,
            **population.draw(rng, "noise", "shading", "blur", "gain"),
            field_strength=float(rng.choice([1.5, 3.0])),
            feet_first=bool(rng.random() < 0.7),
        )
