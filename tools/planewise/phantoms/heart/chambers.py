"""Paint the heart: ventricles with papillary muscles, atria, valves, and the roots of the great vessels."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.canvas import Canvas
from planewise.phantoms.heart.atria import atria, left_of_septum
from planewise.phantoms.heart.contrast import Contrast
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.surfaces import locate
from planewise.phantoms.solids import rounded, tube
from planewise.phantoms.texture import Texture

#: Box around all moving parts, in the heart's frame, mm: lower and upper ends along the axes towards septum, inferior
#: wall and apex.
REACH = np.array([[-56.0, 104.0], [-96.0, 72.0], [-112.0, 106.0]])


class Chambers:
    """Paint a heart at given points, one phase after another.

    Values that are constant over the cycle (ray coordinates, grain) are computed only once.

    Args:
        heart: the heart to paint.
        points: points in patient space, shape ``(N, 3)``, RAS+, mm, float32.
        texture: grain of blood and muscle.
    """

    def __init__(self, heart: Heart, points: np.ndarray, texture: Texture) -> None:
        self.heart = heart
        self.where = locate(heart.to_local(points))
        x, y, z = self.where.x, self.where.y, self.where.z
        self._grain = texture(x, y, z, 6, 6)
        self._flow = texture(x, y, z, 22, 7)
        # trabeculae are strands along the long axis
        self._strands = texture(x, y, 0.35 * z, 6, 8)

    def paint(self, signal: np.ndarray, phase: float, contrast: Contrast, edge: float) -> None:
        """Paint the heart at a phase over the picture of the body.

        Args:
            signal: the picture, shape ``(N,)``, float32, which is changed in place.
            phase: phase of the cycle, in [0, 1).
            contrast: the scanner's tissues.
            edge: pixel size, mm.
        """
        where = self.where
        canvas = Canvas(signal, (where.x, where.y, where.z), self._grain, self._flow, contrast, edge)
        squeeze = self.heart.squeeze(phase)
        surfaces = self.heart.surfaces(phase)
        depths = dict(zip(surfaces.names(), surfaces.depths(where), strict=True))
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
        self._paint_cavity(canvas, depths["right"], 1.6 * rough, right_side + 4, 1, muscle, right_blood)
        canvas.paint(rounded(depths["epicardium"], left_side, 4), muscle)
        self._paint_cavity(canvas, depths["endocardium"], 1.2 * rough, left_side + 4, 0, muscle, blood)
        self._paint_papillary(canvas, squeeze, surfaces.left_base.level, muscle)
        if squeeze > 0.1:
            # the closed leaflets of the mitral and the tricuspid valve; open leaflets are hardly visible
            mitral = np.minimum(1.1 - np.abs(left_side), depths["endocardium"])
            tricuspid = np.minimum(np.minimum(1.0 - np.abs(right_side), depths["right"]), -depths["epicardium"])
            # a leaflet is thinner than a voxel, so it dims the blood instead of hiding it
            sheet = np.clip(np.maximum(mitral, tricuspid) * np.float32(1 / edge) + np.float32(0.5), 0, 1)
            signal += (muscle - signal) * sheet * np.float32(0.55)

    def _paint_cavity(
        self,
        canvas: Canvas[Contrast],
        depth: np.ndarray,
        rough: np.ndarray,
        side: np.ndarray,
        ventricle: int,
        muscle: np.ndarray,
        blood: np.ndarray,
    ) -> None:
        """Paint a ventricle's cavity: a sponge of trabeculae and blood along the wall, and blood inside it."""
        contrast = canvas.contrast
        if sponge := contrast.sponge[ventricle]:
            share = np.clip(contrast.sponge_blood + 0.25 * self._strands, 0, 1)
            canvas.paint(np.minimum(depth, side), muscle + (blood - muscle) * share)
            rough = rough + np.float32(sponge) * (1 + 0.3 * self._flow)
        canvas.paint(np.minimum(depth - rough, side), blood)

    def _paint_atria(
        self, canvas: Canvas[Contrast], squeeze: float, blood: np.ndarray, right_blood: np.ndarray, muscle: np.ndarray
    ) -> None:
        """Paint the atria and their walls, the left atrium over the right one; the septum between them remains."""
        left, right = atria(self.heart.patient, self.heart.shape, canvas.at, squeeze)
        left, right = left + 1.8 * self._flow, right + 1.8 * self._flow
        canvas.paint(right + 1.8, muscle)
        canvas.paint(right, right_blood)
        left = left_of_septum(left, right)
        canvas.paint(left + 1.8, muscle)
        canvas.paint(left, blood)

    def _paint_roots(self, canvas: Canvas[Contrast], blood: np.ndarray, muscle: np.ndarray) -> None:
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

    def _paint_papillary(self, canvas: Canvas[Contrast], squeeze: float, base: float, muscle: np.ndarray) -> None:
        """Paint the papillary muscles, which shorten, thicken and move inwards together with the wall."""
        shape = self.heart.shape
        narrow = 1 - 0.8 * shape.radial_shortening * squeeze
        long = shape.apical_length - base
        for angle, share, thickness in shape.papillary:
            out = np.array([np.cos(angle), np.sin(angle)]) * shape.radius * share * narrow
            path = [
                [*(0.86 * out), base + 0.34 * long],
                [*out, base + 0.58 * long],
                [*(0.88 * out), base + 0.84 * long],
            ]
            wide = thickness * (1 + 0.15 * squeeze)
            depth = tube(canvas.at, np.array(path), np.array([0.6 * wide, wide, 1.1 * wide]))
            canvas.paint(depth + 1.2 * self._strands, muscle)
