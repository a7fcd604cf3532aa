"""An abdomen in the portal venous phase, with a pancreas, its tumour, and organs that look like a pancreas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.workshop.phantoms.painting import Block, cylinder, ellipsoid, tube
from planewise.workshop.phantoms.settings import declared, tables


class AbdomenPopulation(declared("abdomen")):
    """What differs from one set of abdomens to another."""


#: Abdomens in the layout of the decathlon's pancreas.
ABDOMENS = AbdomenPopulation()

#: Width of the block of voxels, its extent from back to front, and from feet to head, mm.
FIELD = (330.0, 250.0, 170.0)
#: Standard deviation of the displacement of every organ from its usual position, mm.
SCATTER = 5.0

#: Mask values of the Medical Segmentation Decathlon.
PANCREAS, TUMOUR = 1, 2

AIR, FAT = -1000.0, -100.0


@dataclass(frozen=True)
class Abdomen:
    """An abdomen and its scanner, drawn from a population."""

    seeds: tuple[int, ...]
    population: AbdomenPopulation

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: AbdomenPopulation) -> Abdomen:
        """The abdomen for these seeds."""
        return cls(seeds, population)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of the voxels along i, j and k, mm."""
        return tuple(size / self.population.side for size in FIELD)

    def scan(self) -> tuple[np.ndarray, np.ndarray]:
        """The image, ``(i, j, k)`` int16, in Hounsfield units, and the mask, uint8. The axis i points to the patient's
        right, j to the front, and k to the head."""
        population, rng = self.population, np.random.default_rng([*self.seeds, 1])
        block = Block(population.side, self.spacing, 1, rng, (3.0, 4.0, 5.0))
        size = np.exp(rng.normal(0, 0.06, 3))
        # organs enhance differently from scan to scan
        usual, course = tables("abdomen")["units"], np.array(tables("abdomen")["course"])
        units = {organ: value * float(np.exp(rng.normal(0, 0.08))) for organ, value in usual.items()}
        block.signal[:] = AIR
        block.at = tuple(part / np.float32(share) for part, share in zip(block.at, size, strict=True))
        inside, cavity = _paint_body(block, rng, units)
        painter = _Painter(block, rng, units, course + rng.normal(0, SCATTER, course.shape), cavity)
        painter.paint_organs()
        painter.paint_pancreas(population)
        image = block.scanned([rng.uniform(*population.noise)])[0]
        block.labels[inside <= 0] = 0
        return np.clip(np.round(image), -1024, 3071).astype(np.int16), block.labels


def _paint_body(block: Block, rng: np.random.Generator, units: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Paint table, skin, fat, muscle and spine; return the depths below the skin and inside the muscles, mm."""
    x, y, _ = block.at
    # the table's curved top is not part of the body
    block.paint(3.0 - np.abs(y + 112 - x**2 / 900), [-300.0])
    inside = cylinder((x, y), (0.0, 0.0), (142.0, 103.0))
    block.paint(inside, [FAT])
    block.paint(inside - 1.0, [FAT + 10 * rng.standard_normal()])
    wall = inside - rng.uniform(8.0, 26.0)
    block.paint(wall, [units["muscle"]])
    # the cavity behind the abdominal wall is filled with fat
    cavity = np.minimum(wall - 12.0, y + 46 + 18 * (np.abs(x) > 45))
    block.paint(cavity, [FAT + 6.0])
    spine = cylinder((x, y), (0.0, -42.0), (21.0, 17.0))
    block.paint(spine, [units["bone"]])
    block.paint(spine - 3.0, [units["marrow"]])
    block.paint(cylinder((x, y), (0.0, -72.0), (9.0, 16.0)), [units["bone"]])
    for side in (-1, 1):
        block.paint(cylinder((x, y), (side * 38.0, -44.0), (17.0, 15.0)), [units["muscle"]])
    return inside, wall - 9.0


@dataclass(frozen=True)
class _Painter:
    block: Block
    rng: np.random.Generator
    units: dict[str, float]  # of each organ, Hounsfield units
    course: np.ndarray  # of the pancreas
    cavity: np.ndarray  # depth inside the muscles, mm

    def put(self, depth: np.ndarray, value: float, label: int | None = None) -> None:
        """Paint a solid as far as it is inside the cavity."""
        self.block.paint(np.minimum(depth, self.cavity), [value], label)

    def paint_organs(self) -> None:
        """Paint the organs around the pancreas: vessels, kidneys, liver, spleen, stomach, duodenum and bowel."""
        block, rng, units, course, at = self.block, self.rng, self.units, self.course, self.block.at

        def scattered(centre: tuple[float, float, float]) -> np.ndarray:
            return np.array(centre) + rng.normal(0, SCATTER, 3)

        rough = 4 * block.texture(40.0, 5)
        liver = ellipsoid(at, scattered((74, 14, 42)), np.array([66.0, 72, 72])) + rough
        gallbladder = ellipsoid(at, scattered((48, 50, -8)), np.array([13.0, 18, 20]))
        self.put(liver, units["liver"])
        self.put(gallbladder, units["bile"])
        self.put(ellipsoid(at, scattered((-98, -22, 44)), np.array([26.0, 44, 46])) + 0.5 * rough, units["spleen"])
        for side in (-1, 1):
            centre = scattered((side * 66, -42, -22 - 8 * side))
            self.put(ellipsoid(at, centre, np.array([27.0, 24, 52])), units["kidney"])
            hilum = ellipsoid(at, centre - np.array([side * 14, -4, 0]), np.array([14.0, 9, 22]))
            block.paint(hilum, [FAT])
        # the stomach in front of the pancreas, the duodenum around its head, and loops of bowel are as bright, thick and
        # curved as the pancreas
        stomach = np.array([[-70, 30, 60], [-58, 52, 30], [-24, 66, 8], [14, 62, 2]]) + rng.normal(0, 6, 3)
        self._paint_gut(tube(at, stomach, np.array([26.0, 24, 19, 13])))
        bend = course[0] + np.array([[2, 26, 34], [26, 4, 18], [28, -4, -14], [8, -6, -34], [-38, -4, -34]])
        self._paint_gut(tube(at, bend, 11.0))
        for number in range(11):
            # most loops are below the pancreas, some on its left
            across, along = ((-90, 70), (-95, -42)) if number < 7 else ((-105, -45), (-60, 10))
            start = np.array([rng.uniform(*across), rng.uniform(10, 65), rng.uniform(*along)])
            steps = np.cumsum(rng.normal(0, 24, (4, 3)), axis=0) * np.array([0.8, 0.6, 0.45])
            steps[:, 2] = np.minimum(steps[:, 2], along[1] - start[2])
            self._paint_gut(tube(at, start + steps, rng.uniform(9, 14)))
        block.paint(cylinder(at[:2], (-9.0, -16.0), (9.5, 9.5)), [units["aorta"]])
        block.paint(cylinder(at[:2], (18.0, -14.0), (11.5, 9.0)), [units["vein"]])
        # the splenic vein runs behind the pancreas
        block.paint(tube(at, course[1:] + np.array([0.0, -15.0, 2.0]), 4.5), [units["vein"]])

    def _paint_gut(self, depth: np.ndarray) -> None:
        """Paint a piece of gut: a wall and its content. The gut is collapsed, or full of fluid, contrast agent or gas."""
        depth, wall = np.minimum(depth, self.cavity), self.units["wall"]
        self.block.paint(depth, [wall])
        content = self.rng.choice([self.units["content"], wall - 12, 260.0, -800.0], p=[0.45, 0.3, 0.1, 0.15])
        self.block.paint(depth - 3.5, [content])

    def paint_pancreas(self, population: AbdomenPopulation) -> None:
        """Paint the pancreas, which has lobes with fat between them, and its tumour."""
        block, rng, course, at = self.block, self.rng, self.course, self.block.at
        thick = rng.uniform(9.0, 14.0) * np.array([1.45, 1.15, 0.9, 0.95, 0.8])
        lobes = block.texture(14.0, 8)
        self.put(tube(at, course, thick) + 1.6 * lobes, self.units["pancreas"] + 6 * rng.standard_normal(), PANCREAS)
        if rng.random() >= population.tumour:
            return
        # most tumours are in the head
        place = min(rng.exponential(1.1), 3.6)
        before = int(place)
        centre = course[before] + (place - before) * (course[before + 1] - course[before]) + rng.normal(0, 3, 3)
        radii = rng.uniform(9.0, 17.0) * np.exp(rng.normal(0, 0.12, 3))
        tumour = ellipsoid(at, centre, radii) + 0.14 * radii.mean() * block.texture(22.0, 9)
        self.put(tumour, self.units["pancreas"] - rng.uniform(*population.difference), TUMOUR)
