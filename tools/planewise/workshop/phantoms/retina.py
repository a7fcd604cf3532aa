"""A retina in a fundus camera: disc, fovea, vessels, and lesions, whose numbers follow from the grade."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from planewise.workshop.phantoms.settings import declared, tables


class RetinaPopulation(declared("retina")):
    """Spread of eyes, lesions and cameras."""


#: Eyes in APTOS' layout.
RETINAS = RetinaPopulation()

#: Red, green and blue of each painted structure, 0 to 1.
COLOURS = tables("retina")["colours"]

#: Positions of the middle of the disc and of the fovea on the horizontal axis, as shares of the field's radius, like all
#: lengths here; positive is nasal.
DISC, FOVEA = 0.52, -0.12


@dataclass(frozen=True)
class Retina:
    """An eye and its camera, drawn from a population; the grade of retinopathy is 0 (none) to 4 (proliferative)."""

    seeds: tuple[int, ...]
    population: RetinaPopulation
    grade: int

    @classmethod
    def sample(cls, seeds: tuple[int, ...], population: RetinaPopulation) -> Retina:
        """The eye for these seeds."""
        shares = np.array(population.shares) / sum(population.shares)
        return cls(seeds, population, int(np.random.default_rng([*seeds, 0]).choice(len(shares), p=shares)))

    @property
    def lesions(self) -> dict[str, int]:
        """Number of lesions of each kind."""
        rng, kinds = np.random.default_rng([*self.seeds, 1]), tables("retina")["lesions"]
        return {kind: int(rng.integers(*ranges[self.grade], endpoint=True)) for kind, ranges in kinds.items()}

    def photograph(self) -> np.ndarray:
        """The photograph, ``(rows, columns, 3)`` uint8, black outside the round field."""
        population, rng = self.population, np.random.default_rng([*self.seeds, 2])
        picture = _Picture(population.side, rng)
        _paint_background(picture, rng)
        if rng.random() < population.drusen:
            for _ in range(rng.integers(4, 20)):
                place = np.array([FOVEA, 0]) + rng.normal(0, 0.22, 2)
                picture.spot(place, rng.uniform(0.012, 0.03), "drusen", 0.6)
        _paint_vessels(picture, rng)
        _paint_lesions(picture, rng, population, self.lesions)
        return picture.exposed(population, rng)


class _Picture:
    """A photograph while it is painted.

    Attributes:
        x: coordinate towards the nose in the eye's frame, ``(rows, columns)``.
        y: coordinate downwards.
        pixel: size of a pixel.
        colour: the picture so far, ``(rows, columns, 3)``, 0 to 1.
    """

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        height = width * 3 // 4
        # a field with a radius above 0.375 of the width is cut off
        radius = rng.uniform(0.34, 0.45) * width
        middle = rng.normal(0, 0.04, 2)
        across = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / radius - middle[0]
        down = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / radius - middle[1]
        angle, side = radians(rng.normal(0, 5.0)), rng.choice([-1, 1])
        self.x = (side * (cos(angle) * across[None] + sin(angle) * down[:, None])).astype(np.float32)
        self.y = (cos(angle) * down[:, None] - sin(angle) * across[None]).astype(np.float32)
        self.pixel = 1 / radius
        self.colour = np.tile(np.float32(COLOURS["retina"]), (height, width, 1))

    def cover(self, share: np.ndarray, name: str) -> None:
        """Paint a colour over the picture so far; ``share`` is the covered share of each pixel."""
        self.colour += share[..., None] * (np.float32(COLOURS[name]) - self.colour)

    def _cover_near(self, distance: np.ndarray, radius: float, name: str, share: float) -> None:
        self.cover(share * np.clip(0.5 + (radius - distance) / self.pixel, 0, 1), name)

    def spot(
        self, place: np.ndarray, radius: float, name: str, share: float, stretch: float = 1.0, turn: float = 0.0
    ) -> None:
        """Paint an elliptic spot over the picture so far."""
        across, down = self.x - np.float32(place[0]), self.y - np.float32(place[1])
        along = (cos(turn) * across + sin(turn) * down) / np.float32(stretch)
        self._cover_near(np.hypot(along, cos(turn) * down - sin(turn) * across), radius, name, share)

    def lines(self, points: np.ndarray, radius: float, name: str, share: float) -> None:
        """Paint lines over the picture so far: their points ``(N, 2)``, which are closer to each other than pixels, and half
        of their width."""
        # positions in the eye's frame are mapped to pixels; the grid's corner and sides define the map, because the frame is
        # rotated
        corner = np.array([self.x[0, 0], self.y[0, 0]])
        sides = np.array([[self.x[0, 1], self.y[0, 1]], [self.x[1, 0], self.y[1, 0]]]) - corner
        column, row = np.round((points - corner) @ np.linalg.inv(sides)).astype(int).T
        inside = (row >= 0) & (row < self.x.shape[0]) & (column >= 0) & (column < self.x.shape[1])
        if inside.any():
            away = np.ones(self.x.shape, dtype=bool)
            away[row[inside], column[inside]] = False
            distance = distance_transform_edt(away).astype(np.float32) * self.pixel
            self._cover_near(distance, radius, name, share)

    def texture(self, rng: np.random.Generator, grain: float) -> np.ndarray:
        """A smooth random field of standard deviation one; ``grain`` is the width of a feature."""
        smooth = gaussian_filter(rng.standard_normal(self.x.shape, dtype=np.float32), grain / self.pixel / 2)
        return smooth / smooth.std()

    def exposed(self, population: RetinaPopulation, rng: np.random.Generator) -> np.ndarray:
        """The image that the camera records, ``(rows, columns, 3)`` uint8, with uneven light, colour, blur and noise."""
        radius = np.hypot(self.x, self.y)
        tilt = rng.normal(0, 0.08, 2)
        light = 1 - rng.uniform(*population.shading) * radius**2 + tilt[0] * self.x + tilt[1] * self.y
        gains = np.exp(rng.normal(0, population.colour, 3) + rng.normal(0, population.colour))
        colour = self.colour * (light[..., None] * gains)
        blur = rng.uniform(*population.blur)
        field = np.clip(0.5 + (1 - radius) / self.pixel, 0, 1)[..., None]
        colour = gaussian_filter(colour, (blur, blur, 0)) * field
        # black areas stay nearly black
        colour += rng.uniform(*population.noise) * (0.2 + 0.8 * field) * rng.standard_normal(colour.shape)
        return np.clip(np.round(255 * colour), 0, 255).astype(np.uint8)


def _paint_background(picture: _Picture, rng: np.random.Generator) -> None:
    """Paint the choroid's grain, the fovea and the disc with its cup."""
    grain = 0.05 * picture.texture(rng, 0.25) + 0.03 * picture.texture(rng, 0.06)
    picture.colour *= 1 + grain[..., None]
    fovea = np.array([FOVEA, 0.03]) + rng.normal(0, 0.02, 2)
    distance = np.hypot(picture.x - fovea[0], picture.y - fovea[1])
    picture.cover(rng.uniform(0.3, 0.6) * np.exp(-((distance / 0.16) ** 2)), "fovea")
    disc, radius = np.array([DISC, 0.0]) + rng.normal(0, 0.02, 2), rng.uniform(0.12, 0.15)
    picture.spot(disc, radius, "disc", 0.95, stretch=0.92)
    picture.spot(disc, radius * rng.uniform(0.3, 0.6), "cup", 0.8)


def _paint_vessels(picture: _Picture, rng: np.random.Generator) -> None:
    """Paint the four pairs of arteries and veins that leave the disc, with their branches."""
    disc = np.array([DISC, 0.0])
    for name, width, share in (("vein", 0.017, 0.8), ("artery", 0.012, 0.7)):
        lines: list[list[np.ndarray]] = [[], [], []]
        for up in (-1, 1):
            # the temporal vessels arch around the fovea, and the nasal vessels are straight
            for heading, bend, reach in ((0.62 * pi, 1.0, 1.6), (0.25 * pi, 0.1, 0.7)):
                heading = up * (heading + rng.normal(0, 0.12))
                _grow(lines, rng, disc, heading, up * bend * rng.uniform(0.8, 1.2), reach)
        for level, paths in enumerate(lines):
            picture.lines(np.concatenate(paths), width * 0.66**level, name, share)


def _grow(
    lines: list[list[np.ndarray]],
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    bend: float,
    reach: float,
    level: int = 0,
) -> None:
    """Add the points of a vessel and of its branches to the lines of their levels, in place: main vessels, their branches,
    and the branches of branches. The vessel starts in a direction, radians, and bends by radians per radius of the field."""
    step = 0.004
    count = max(2, int(reach / step))
    headings = heading + bend * step * np.arange(count) + np.cumsum(rng.normal(0, 0.035, count))
    points = start + step * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
    lines[level].append(points)
    if level == 2:
        return
    for at in np.arange(0.18 + 0.1 * rng.random(), reach, rng.uniform(0.2, 0.32)):
        number = min(int(at / step), count - 1)
        away = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
        _grow(lines, rng, points[number], headings[number] + away, 0.5 * bend, 0.45 * (reach - at) + 0.15, level + 1)


def _paint_lesions(
    picture: _Picture, rng: np.random.Generator, population: RetinaPopulation, lesions: dict[str, int]
) -> None:
    """Paint the given number of lesions of each kind, away from the disc."""
    size, share = rng.uniform(*population.size), rng.uniform(*population.strength)
    # new vessels are tufts of fine vessels, on the disc or elsewhere
    for number in range(lesions["new vessels"]):
        place = np.array([DISC, 0.0]) if number == 0 else _place(rng)
        tuft: list[list[np.ndarray]] = [[], [], []]
        for heading in rng.uniform(0, 2 * pi, 9):
            _grow(tuft, rng, place, heading, rng.normal(0, 9), size * rng.uniform(0.12, 0.24), 1)
        picture.lines(np.concatenate([*tuft[1], *tuft[2]]), 0.007, "blood", share)
    for _ in range(lesions["exudates"]):
        # hard exudates lie in clusters
        middle = _place(rng)
        for _ in range(rng.integers(2, 6)):
            spot = middle + rng.normal(0, 0.035, 2)
            picture.spot(spot, size * rng.uniform(0.010, 0.022), "exudate", share)
    for _ in range(lesions["haemorrhages"]):
        radius = size * rng.uniform(0.022, 0.045)
        picture.spot(_place(rng), radius, "blood", share, stretch=rng.uniform(1, 1.8), turn=rng.uniform(0, pi))
    for _ in range(lesions["microaneurysms"]):
        picture.spot(_place(rng), size * rng.uniform(0.011, 0.016), "blood", share)


def _place(rng: np.random.Generator) -> np.ndarray:
    """A position in the field, uniform over its area, away from the disc."""
    while True:
        place = rng.uniform(-0.85, 0.85, 2)
        if np.hypot(*place) < 0.85 and np.hypot(place[0] - DISC, place[1]) > 0.24:
            return place
