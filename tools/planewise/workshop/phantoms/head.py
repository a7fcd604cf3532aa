"""A head without its skull: a brain with ventricles, and a tumour with oedema, an enhancing rim and a core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.workshop.phantoms.painting import Block, ellipsoid, tube
from planewise.workshop.phantoms.settings import declared, tables


class HeadPopulation(declared("head")):
    """What differs from one set of heads to another."""


#: Heads in BraTS' layout.
HEADS = HeadPopulation()

#: The side of the block of voxels, mm.
FIELD = 190.0

#: The contrasts in order, with their names in the files of BraTS.
CONTRASTS = ("t1", "t1ce", "t2", "flair")

#: Mask values of BraTS.
CORE, OEDEMA, ENHANCING = 1, 2, 4

#: Mask values of a healthy head's tissues, as in FSL-FAST: from the darkest in T1 to the brightest.
FLUID, GREY, WHITE = 1, 2, 3


@dataclass(frozen=True)
class Head:
    """A head and its scanner, drawn from a population."""

    seeds: tuple[int, ...]
    population: HeadPopulation
    grade: str  # "HGG" if the tumour enhances, "LGG" if not; for a healthy head, it is only the name of the folder
    tumour: bool

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: HeadPopulation) -> Head:
        """The head for these seeds."""
        low_grade, tumour = np.random.default_rng([*seeds, 0]).random(2) < (population.low_grade, population.tumour)
        return cls(seeds, population, "LGG" if low_grade else "HGG", bool(tumour))

    @property
    def spacing(self) -> float:
        """Size of the voxels along every axis, mm."""
        return FIELD / self.population.side

    @property
    def has_tissues(self) -> bool:
        """Whether the head's mask shows tissues."""
        return bool(self.population.tissues) and not self.tumour

    def scan(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The image of each contrast, ``(i, j, k)`` float32, zero outside the brain, and the mask, uint8.

        The axis i points to the patient's left, j to the back, and k to the head. The mask shows the tumour. The mask of a
        healthy head shows the tissues if the population's ``tissues`` is 1, and is empty otherwise.
        """
        rng = np.random.default_rng([*self.seeds, 1])
        block = Block(self.population.side, [self.spacing] * 3, len(CONTRASTS), rng, (4.0, 3.0, 3.0))
        # every scanner shows each tissue a little brighter or darker
        signals = {
            tissue: np.array(values) * np.exp(rng.normal(0, 0.07, len(CONTRASTS)))
            for tissue, values in tables("head")["signals"].items()
        }
        tumour = _Tumour.sample(rng, self.population.radius) if self.tumour else None
        true_at = block.at
        if tumour is not None:
            block.at = tumour.pushed_aside(block.at)
        inside, ventricles = _paint_brain(block, signals, rng)
        block.at = true_at
        if not self.has_tissues:
            block.labels[:] = 0
        if tumour is not None:
            tumour.paint(block, signals, rng, np.minimum(inside - 2.0, -ventricles - 1.0), self.grade == "HGG")
        # the coil is uneven, and each contrast has values of its own
        amount = rng.uniform(0.02, 0.12)
        for number, image in enumerate(block.signal):
            image *= np.exp(np.float32(amount) * block.texture(110.0, 20 + number)) * rng.uniform(250.0, 1200.0)
        noise = rng.uniform(0.01, 0.035)
        images = block.scanned(noise * block.signal.reshape(len(CONTRASTS), -1).max(axis=1))
        brain = inside > 0
        block.labels[~brain] = 0
        # BraTS' registration leaves no negative values, and nothing outside the brain
        images = np.where(brain, np.maximum(images, 1.0), 0.0)
        # i and j point to the left and to the back, but the body's x and y to the right and to the front
        turned = {name: image[::-1, ::-1] for name, image in zip(CONTRASTS, images, strict=True)}
        return turned, np.ascontiguousarray(block.labels[::-1, ::-1])


@dataclass(frozen=True)
class _Tumour:
    centre: np.ndarray
    radii: np.ndarray  # of the core along x, y and z, mm
    reach: float  # width of the oedema around the core, mm

    @classmethod
    def sample(cls, rng: np.random.Generator, radius: tuple[float, float]) -> _Tumour:
        # the centre is in the cerebrum, away from the midline
        side = rng.choice([-1, 1])
        centre = np.array([side * rng.uniform(20, 42), rng.uniform(-45, 42), rng.uniform(-12, 38)])
        radii = rng.uniform(*radius) * np.exp(rng.normal(0, 0.15, 3))
        return cls(centre, radii, float(rng.uniform(4.0, 16.0)))

    def pushed_aside(self, at: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The positions of tissue before the tumour grew and pushed nearby tissue away from its centre."""
        offsets = [part - np.float32(middle) for part, middle in zip(at, self.centre, strict=True)]
        squared = sum(offset**2 for offset in offsets) / np.float32(1.6 * self.radii.mean()) ** 2
        share = 1 - np.float32(0.35) * np.exp(-squared)
        return tuple(np.float32(middle) + offset * share for middle, offset in zip(self.centre, offsets, strict=True))

    def paint(
        self, block: Block, signals: dict[str, np.ndarray], rng: np.random.Generator, bounds: np.ndarray, enhances: bool
    ) -> None:
        """Paint oedema, core and rim inside the bounds, one over the other, and label their voxels."""
        rough, coarse, fine = block.texture(22.0, 6), block.texture(34.0, 7), block.texture(12.0, 8)
        core = ellipsoid(block.at, self.centre, self.radii) + 0.14 * float(self.radii.mean()) * rough
        # the oedema spreads in fingers along the white matter
        oedema = core + self.reach * (1 + 0.45 * coarse)
        block.paint(np.minimum(oedema, bounds - 2.0), signals["oedema"], OEDEMA)
        core = np.minimum(core, bounds)
        block.paint(core, signals["core"], CORE)
        if not enhances:
            return
        rim = rng.uniform(2.5, 5.0) + 1.2 * fine
        enhancing = core - 0.6 * np.maximum(rough, 0)
        block.paint(enhancing, signals["enhancing"], ENHANCING)
        block.paint(enhancing - rim, signals["necrosis"], CORE)


def _paint_brain(
    block: Block, signals: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a healthy brain and label its tissues; return the depths inside the brain and inside its ventricles, mm."""
    at, (x, _, z) = block.at, block.at
    size = np.exp(rng.normal(0, 0.06, 3))
    fold, width = block.texture(20.0, 3), block.texture(26.0, 4)
    cerebrum = ellipsoid(at, np.array([0, 0, 12]), np.array([66, 84, 58]) * size)
    cerebellum = ellipsoid(at, np.array([0, -42, -38]) * size, np.array([46, 30, 24]) * size)
    stem = tube(at, np.array([[0, -8, -10], [0, -18, -70]]) * size, np.array([14.0, 9.0]))
    inside = np.maximum(np.maximum(cerebrum, cerebellum), stem)
    block.paint(inside, signals["fluid"], FLUID)
    # sulci reach in from the surface, and the cortex follows them
    furrow = 1.0 + np.maximum(7.0 * (fold - 0.4), 0)
    fissure = np.abs(x + 1.5 * width) - np.where(z > 6, 1.6, -9.0)
    block.paint(np.minimum(cerebrum - furrow, fissure), signals["grey"], GREY)
    white = np.minimum(cerebrum - 11.0 - 7.0 * fold - width, np.abs(x) - np.where(z > 24, 6.0, -9.0))
    block.paint(white, signals["white"], WHITE)
    block.paint(cerebellum - 1.0, signals["grey"], GREY)
    block.paint(np.minimum(cerebellum - 4.0, 2.5 * block.texture(9.0, 5) + 0.5), signals["white"], WHITE)
    block.paint(stem, signals["white"], WHITE)
    wide = float(np.exp(rng.normal(0, 0.25)))
    ventricles = np.full_like(x, -np.inf)
    for side in (-1, 1):
        for centre, radii in (((13, 4, 8), (9, 15, 9)), ((27, -2, 2), (7, 14, 10))):
            nucleus = ellipsoid(at, np.array([side, 1, 1]) * centre, np.array(radii, float))
            block.paint(nucleus, signals["deep grey"], GREY)
        horn = np.array([[8, 34, 16], [9, 8, 24], [16, -22, 22], [26, -38, 10], [32, -14, -8]]) * size
        lateral = tube(at, horn * np.array([side, 1, 1]), np.array([4.5, 5.0, 6.0, 4.5, 2.5]) * wide)
        ventricles = np.maximum(ventricles, lateral)
    third = np.minimum(2.2 * wide - np.abs(x), ellipsoid(at, np.array([0, 0, 6]), np.array([20.0, 16, 12])))
    fourth = ellipsoid(at, np.array([0, -32, -34]) * size, np.array([6.0, 5, 9]) * wide)
    ventricles = np.maximum(ventricles, np.maximum(third, fourth))
    block.paint(ventricles, signals["fluid"], FLUID)
    # age-related spots in the white matter
    for _ in range(int(rng.uniform(0.0, 6.0))):
        centre = np.array([rng.choice([-1, 1]) * rng.uniform(20, 38), rng.uniform(-45, 45), rng.uniform(8, 38)])
        spot = ellipsoid(at, centre, rng.uniform(2.0, 4.5, 3))
        block.paint(np.minimum(spot, white), signals["spot"])
    # the sinus in the midline and the arteries at the base enhance, too
    vessels = [([[0, 72, 38], [0, 40, 66], [0, -30, 66], [0, -78, 20]], [2.2] * 4)]
    vessels += [([[0, 12, -26], [side * 24, 14, -20], [side * 46, 0, -8]], [2.0, 1.8, 1.4]) for side in (-1, 1)]
    for path, radii in vessels:
        block.paint(np.minimum(tube(at, np.array(path) * size, radii), inside - 0.5), signals["vessel"])
    return inside, ventricles
