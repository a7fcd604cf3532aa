"""The phantom heart: an analytic, beating, three-dimensional model in patient space, and how it is painted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from planewise.workshop.phantoms.heart.population import UNLABELLED, Contrast, Patient, Population
from planewise.workshop.phantoms.heart.shape import HeartShape, atria, left_of_septum
from planewise.workshop.phantoms.heart.surfaces import Surfaces, enclosed_volume, locate
from planewise.workshop.phantoms.painting import Canvas, Texture, rotation, rounded, tube

#: Axes of an average heart, RAS+: rows towards the septum, the inferior wall and the apex. They come from the two-chamber
#: and short-axis planes of a real exam (`cardiac_cine_exam`).
USUAL_AXES = np.array([[0.782, 0.621, -0.046], [0.356, -0.507, -0.783], [-0.48, 0.62, -0.62]])
#: Position of the equator of an average left ventricle in the chest that `Body` builds, RAS+, mm.
USUAL_CENTRE = np.array([-46.0, 12.0, 0.0])

#: Contraction of the heart over the phases of the cycle: 0 at end-diastole, 1 at end-systole.
PHASES = np.array([0.03, 0.09, 0.15, 0.21, 0.27, 0.32, 0.41, 0.47, 0.53, 0.60, 0.70, 0.82, 0.90, 0.97])
SQUEEZE = np.array([0.0, 0.12, 0.42, 0.74, 0.95, 1.0, 1.0, 0.80, 0.46, 0.27, 0.22, 0.20, 0.08, 0.0])
#: A phase of the cycle in which every heart is fully contracted.
END_SYSTOLE = 0.37

#: Label values of `Heart.label`, numbered as in ACDC.
LABELS = {"rv": 1, "myocardium": 2, "lv": 3}
#: Label values of `Heart.label` for the atria.
ATRIA = {"la": 4, "ra": 5}

#: Box around all moving parts, in the heart's frame, mm: lower and upper ends along the axes towards septum, inferior
#: wall and apex.
REACH = np.array([[-56.0, 104.0], [-96.0, 72.0], [-112.0, 106.0]])


@dataclass
class Heart:
    """A beating heart at a position in patient space.

    The heart's own frame has its origin at the equator of the left ventricle, and its axes point towards septum,
    inferior wall and apex. A phase of the cycle is in [0, 1).
    """

    patient: Patient
    shape: HeartShape
    centre: np.ndarray  # the frame's origin in patient space, (3,), RAS+, mm
    axes: np.ndarray  # rows are the frame's axes in patient space, (3, 3)
    _surfaces: dict[float, Surfaces] = field(default_factory=dict, init=False)

    @classmethod
    def sample(
        cls, rng: np.random.Generator, group: str | Patient = "NOR", population: Population = UNLABELLED
    ) -> Heart:
        """Sample a heart of a disease group or of a given patient. The population defines how its form and pose vary."""
        patient = group if isinstance(group, Patient) else Patient.sample(rng, group)
        shape = HeartShape.sample(rng, patient, population)
        axes = _turned_axes(rng, population)
        return cls(patient, shape, USUAL_CENTRE + rng.normal(0, population.position, 3), axes)

    @property
    def long_axis(self) -> np.ndarray:
        """Unit vector from base to apex, shape ``(3,)``, RAS+."""
        return self.axes[2]

    @cached_property
    def apex(self) -> float:
        """Distance of the outside of the apex from the equator at end-diastole, mm."""
        return float(self.surfaces(0.0).epicardium[-1].mean())

    def to_local(self, points: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from patient space to the heart's frame, mm. Their precision does not change."""
        points = np.asarray(points)
        return (points - self.centre.astype(points.dtype)) @ self.axes.T.astype(points.dtype)

    def to_patient(self, local: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from the heart's frame to patient space, RAS+, mm."""
        return np.asarray(local) @ self.axes + self.centre

    def squeeze(self, phase: float) -> float:
        """Contraction of the heart at a phase of the cycle: 0 at end-diastole, 1 at end-systole."""
        return float(np.interp(phase % 1.0, PHASES, SQUEEZE))

    def surfaces(self, phase: float) -> Surfaces:
        """The ventricles' surfaces at a phase of the cycle."""
        squeeze = self.squeeze(phase)
        if squeeze not in self._surfaces:
            self._surfaces[squeeze] = self.shape.surfaces(squeeze)
        return self._surfaces[squeeze]

    def label(self, points: np.ndarray, phase: float, whole_slices: float = 0.0) -> np.ndarray:
        """The labels that a reader would draw at points ``(..., 3)`` in patient space, RAS+, mm: 0 or one of `LABELS` and
        `ATRIA`, uint8, ``(...)``. Papillary muscles belong to the cavity, as in ACDC.

        If ``whole_slices`` is above 0, the points are a slice, in which a ventricle is drawn entirely if at least this share
        of its section is on its side of the valve plane, and otherwise not at all.
        """
        points = np.asarray(points, dtype=np.float32)
        where = locate(self.to_local(points.reshape(-1, 3)))
        at = where.x, where.y, where.z
        surfaces = self.surfaces(phase)
        inside = {name: depth > 0 for name, depth in surfaces.depths(where).items()}
        right = inside["right"] & ~inside["epicardium"]
        left_side, right_side = surfaces.left_base.height(*at) > 0, surfaces.right_base.height(*at) > 0
        if whole_slices:
            left_side = _whole(left_side, inside["endocardium"], whole_slices)
            right_side = _whole(right_side, right, whole_slices)
        labels = np.zeros(len(where.x), dtype=np.uint8)
        # atria are drawn up to the valve planes
        left_atrium, right_atrium = atria(self.patient, self.shape, at, self.squeeze(phase))
        labels[(right_atrium > 0) & ~right_side] = ATRIA["ra"]
        labels[(left_of_septum(left_atrium, right_atrium) > 0) & ~left_side] = ATRIA["la"]
        labels[right & right_side] = LABELS["rv"]
        labels[inside["epicardium"] & left_side] = LABELS["myocardium"]
        labels[inside["endocardium"] & left_side] = LABELS["lv"]
        return labels.reshape(points.shape[:-1])

    def volumes(self, phase: float) -> dict[str, float]:
        """Volume of each label at a phase, ml. It is integrated along rays, not counted in voxels."""
        surfaces = self.surfaces(phase)
        return {
            "rv": enclosed_volume(surfaces.right, surfaces.epicardium, surfaces.right_base),
            "myocardium": enclosed_volume(surfaces.epicardium, surfaces.endocardium, surfaces.left_base),
            "lv": enclosed_volume(surfaces.endocardium, 0.0, surfaces.left_base),
        }


def _whole(side: np.ndarray, region: np.ndarray, share: float) -> np.ndarray:
    """True at all points or at none: whether at least a share of a region is on a side; an empty region is."""
    return np.full(side.shape, not region.any() or np.mean(side[region]) >= share)


def _turned_axes(rng: np.random.Generator, population: Population) -> np.ndarray:
    """Axes ``(3, 3)`` of a heart, tilted and rolled away from the usual axes."""
    towards = rng.uniform(0, 2 * np.pi)
    # at a tilt beyond 2.5 standard deviations, the apex could no longer be distinguished from the base; a roll beyond 2
    # standard deviations would exceed anatomical variation
    tilt = np.radians(population.tilt * np.clip(rng.standard_normal(), -2.5, 2.5))
    roll = np.radians(population.roll * np.clip(rng.standard_normal(), -2, 2))
    axes = USUAL_AXES @ rotation(np.cos(towards) * USUAL_AXES[0] + np.sin(towards) * USUAL_AXES[1], tilt).T
    axes = axes @ rotation(axes[2], roll).T
    # the usual axes are rounded to three decimals, so the nearest true rotation is used
    left, _, right = np.linalg.svd(axes)
    return left @ right


class Chambers:
    """Paint a heart at points ``(N, 3)`` in patient space, RAS+, mm, float32, one phase after another. What is constant over
    the cycle is computed only once."""

    def __init__(self, heart: Heart, points: np.ndarray, texture: Texture) -> None:
        self.heart = heart
        self.where = locate(heart.to_local(points))
        x, y, z = self.where.x, self.where.y, self.where.z
        self._grain = texture(x, y, z, 6, 6)
        self._flow = texture(x, y, z, 22, 7)
        # trabeculae are strands along the long axis
        self._strands = texture(x, y, 0.35 * z, 6, 8)

    def paint(self, signal: np.ndarray, phase: float, contrast: Contrast, edge: float) -> None:
        """Paint the heart over the picture of the body, ``(N,)`` float32, in place; ``edge`` is the pixel size, mm."""
        where = self.where
        canvas = Canvas(signal, (where.x, where.y, where.z), self._grain, self._flow, contrast, edge)
        squeeze = self.heart.squeeze(phase)
        surfaces = self.heart.surfaces(phase)
        depths = surfaces.depths(where)
        left_side = surfaces.left_base.height(*canvas.at)
        right_side = surfaces.right_base.height(*canvas.at)
        # blood is brightest if it has just entered the slice, and dark if it swirls
        blood = contrast.blood * (1 + contrast.flow * (0.055 * self._flow + 0.025 * self._grain))
        muscle = contrast.myocardium * (1 + 0.10 * self._grain)

        groove = np.maximum(left_side, right_side) + 13
        canvas.paint(rounded(depths["outline"], groove, 8), contrast.fat * (0.8 + 0.08 * self._grain))
        right_blood = blood * np.float32(contrast.right_blood)
        self._paint_atria(canvas, squeeze, blood, right_blood, muscle)
        self._paint_roots(canvas, blood, muscle)

        # coarse strands protrude into the cavities, more of them towards the apex
        rough = np.maximum(self._strands, 0) * (1 + np.clip(where.z * np.float32(1 / 40), 0, 1.2))
        rough *= np.float32(contrast.strands)
        canvas.paint(rounded(depths["right_wall"], right_side + 5, 4), muscle)
        if contrast.right_strands:
            apical = np.clip(where.z / self.heart.shape.apical_length, 0, 1)
            meshwork = np.clip(0.4 + 0.6 * self._strands, 0, 1) * (0.3 + 0.7 * apical)
            right_blood += (muscle - right_blood) * np.minimum(contrast.right_strands * meshwork, 1)

        def paint_cavity(
            depth: np.ndarray, rough: np.ndarray, side: np.ndarray, sponge: float, blood: np.ndarray
        ) -> None:
            """A sponge of trabeculae and blood along the wall, and blood inside it."""
            if sponge:
                share = np.clip(contrast.sponge_blood + 0.25 * self._strands, 0, 1)
                canvas.paint(np.minimum(depth, side), muscle + (blood - muscle) * share)
                rough = rough + np.float32(sponge) * (1 + 0.3 * self._flow)
            canvas.paint(np.minimum(depth - rough, side), blood)

        paint_cavity(depths["right"], 1.6 * rough, right_side + 4, contrast.sponge[1], right_blood)
        canvas.paint(rounded(depths["epicardium"], left_side, 4), muscle)
        paint_cavity(depths["endocardium"], 1.2 * rough, left_side + 4, contrast.sponge[0], blood)
        self._paint_papillary(canvas, squeeze, surfaces.left_base.level, muscle)
        if squeeze > 0.1:
            # the closed leaflets of the mitral and the tricuspid valve; open leaflets are hardly visible
            mitral = np.minimum(1.1 - np.abs(left_side), depths["endocardium"])
            tricuspid = np.minimum(np.minimum(1.0 - np.abs(right_side), depths["right"]), -depths["epicardium"])
            # a leaflet is thinner than a voxel, so it dims the blood instead of hiding it
            sheet = np.clip(np.maximum(mitral, tricuspid) * np.float32(1 / edge) + np.float32(0.5), 0, 1)
            signal += (muscle - signal) * sheet * np.float32(0.55)

    def _paint_atria(
        self, canvas: Canvas, squeeze: float, blood: np.ndarray, right_blood: np.ndarray, muscle: np.ndarray
    ) -> None:
        """Paint the atria and their walls, the left atrium over the right one; the septum between them remains."""
        left, right = atria(self.heart.patient, self.heart.shape, canvas.at, squeeze)
        left, right = left + 1.8 * self._flow, right + 1.8 * self._flow
        for depth, inside in ((right, right_blood), (left_of_septum(left, right), blood)):
            canvas.paint(depth + 1.8, muscle)
            canvas.paint(depth, inside)

    def _paint_roots(self, canvas: Canvas, blood: np.ndarray, muscle: np.ndarray) -> None:
        """Paint the ascending aorta and the pulmonary trunk, from the base of the ventricles to beyond the heart's box."""
        base = -self.heart.shape.basal_length
        rightwards, forwards, up = self.heart.axes.T
        root = np.array([10, -9, base + 2])
        sinus = root + np.array([3, -6, -16])
        aorta = np.stack([root, sinus, sinus + 34 * up + 9 * rightwards])
        trunk = np.array([20, -46, base - 13])
        pulmonary = np.stack([trunk + np.array([0, 4, 10]), trunk, trunk + 26 * up - 20 * forwards - 8 * rightwards])
        for path, radius in ((pulmonary, 13.0), (aorta, np.array([13.0, 16.0, 14.0]))):
            depth = tube(canvas.at, path, radius)
            canvas.paint(depth + 1.6, muscle)
            canvas.paint(depth, blood)

    def _paint_papillary(self, canvas: Canvas, squeeze: float, base: float, muscle: np.ndarray) -> None:
        """Paint the papillary muscles, which shorten, thicken and move inwards together with the wall."""
        shape = self.heart.shape
        narrow = 1 - 0.8 * shape.radial_shortening * squeeze
        long = shape.apical_length - base
        for angle, share, thickness in shape.papillary:
            out = np.array([np.cos(angle), np.sin(angle)]) * shape.radius * share * narrow
            path = [[*(near * out), base + along * long] for near, along in ((0.86, 0.34), (1, 0.58), (0.88, 0.84))]
            wide = thickness * (1 + 0.15 * squeeze)
            depth = tube(canvas.at, np.array(path), np.array([0.6 * wide, wide, 1.1 * wide]))
            canvas.paint(depth + 1.2 * self._strands, muscle)
