"""Paint a leg: skin, fat, muscles, vessels, and the whole knee joint, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from planewise.phantoms.canvas import Canvas
from planewise.phantoms.knee import bones, joint, joint_painting
from planewise.phantoms.knee.contrast import KneeContrast
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.knee.muscles import MUSCLES, TENDONS, VESSELS
from planewise.phantoms.solids import Coordinates, tube
from planewise.phantoms.texture import Texture

#: Heights at which the leg's outline is stored, in the knee's frame, mm.
HEIGHTS = np.arange(-130.0, 131.0, 4.0)

#: Outline of the leg without its fat: the front, the back and half of the width at each height, mm, from smooth curves
#: through a few points.
OUTLINE = PchipInterpolator(
    [-130, -75, -45, -20, 5, 28, 50, 75, 130],
    np.array(
        [
            [17, 22, 27, 31, 42, 51, 51, 53, 59],
            [-68, -66, -61, -56, -53, -54, -58, -63, -70],
            [44, 46, 47, 48, 50, 52, 53, 57, 64],
        ]
    ).T,
)(HEIGHTS).T


@dataclass(frozen=True)
class Leg:
    """A knee with its surroundings. Points are given in the knee's frame, see `Knee.to_local`."""

    knee: Knee
    texture: Texture
    wander: np.ndarray
    """Displacement of each muscle, tendon and vessel from its usual course, shape ``(N, 3)``, mm"""
    waves: np.ndarray
    """Slow changes of the scanner's field over the leg: rows of wave vector (1/mm) and start"""

    @classmethod
    def sample(cls, rng: np.random.Generator, knee: Knee) -> Leg:
        """A leg around a knee."""
        count = len(MUSCLES) + len(TENDONS) + len(VESSELS)
        texture, wander = Texture(rng), rng.normal(0, 1.2, (count, 3))
        directions = rng.standard_normal((3, 3))
        directions *= rng.uniform(1 / 45, 1 / 25, (3, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
        waves = np.concatenate([directions, rng.uniform(0, 2 * np.pi, (3, 1))], axis=1)
        return cls(knee, texture, wander, waves)

    def unevenness(self, at: Coordinates) -> np.ndarray:
        """A field that varies slowly over the leg, from about -1.7 to 1.7, for coils and for fat suppression."""
        total = np.zeros_like(at[0])
        for kx, ky, kz, start in self.waves.astype(np.float32):
            total += np.sin(at[0] * kx + at[1] * ky + at[2] * kz + start)
        return total

    def paint(
        self, at: Coordinates, contrast: KneeContrast, edge: float, unsuppressed: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the signal of the leg.

        Args:
            at: points in the knee's frame, equal shapes, float32.
            contrast: the sequence's tissues.
            edge: pixel size in mm, scaled to an average knee.
            unsuppressed: signal of fat in places where fat suppression fails.

        Returns:
            signal: signal relative to the brightest tissue, float32.
            depth: depth below the skin, mm, negative outside; it determines the coils' shading.
        """
        grain, coarse = self.texture(*at, 4), self.texture(*at, 18, 1)
        fat = np.float32(contrast.fat) * (1 + 0.06 * grain)
        if unsuppressed:
            fat = fat + np.float32(unsuppressed) * np.clip(self.unevenness(at) - 1.4, 0, 1.2)
        canvas = Canvas(np.zeros_like(at[0]), at, grain, coarse, contrast, edge)
        depth = self._paint_skin(canvas, fat)
        self._paint_muscles(canvas, fat)
        knee = self.knee
        in_femur, in_tibia, in_patella = (
            canvas.in_frame(knee.into(bone, at)) for bone in ("femur", "tibia", "patella")
        )
        femur, notch = bones.femur(in_femur.at, knee.shape)
        tibia, above = bones.tibia(in_tibia.at, knee.shape)
        joint_painting.paint_fluid(in_femur, knee, femur)
        joint_painting.paint_capsule(canvas, knee, femur, tibia, notch, fat)
        self._paint_extensors(canvas)
        self._paint_ligaments(canvas)
        joint_painting.paint_tibia(in_tibia, knee, tibia, above)
        joint_painting.paint_menisci(in_tibia, knee, above)
        joint_painting.paint_femur(in_femur, knee, femur, notch)
        joint_painting.paint_patella(in_patella, knee, bones.patella(in_patella.at, knee))
        return canvas.signal, depth

    def _paint_skin(self, canvas: Canvas[KneeContrast], fat: np.ndarray) -> np.ndarray:
        """Paint skin, fat and the fascia around the muscles; return the depth below the skin, mm."""
        at, coarse, contrast = canvas.at, canvas.coarse, canvas.contrast
        inner = self._inside_fascia(at)
        # there is more fat behind the knee, and little over the kneecap
        bare = np.clip((at[1] - 10) * np.float32(1 / 45), 0, 1)
        depth = inner + np.float32(self.knee.shape.fat) * (1 - 0.7 * bare) + 1.5
        strands = np.clip(1 - np.abs(coarse) * 7, 0, 1) * np.float32(0.25)
        canvas.paint(depth, contrast.skin)
        canvas.paint(depth - 1.5, fat * (1 - strands) + contrast.ligament * strands)
        canvas.paint(0.5 - np.abs(inner), contrast.ligament * 1.5)
        return depth

    def _inside_fascia(self, at: Coordinates) -> np.ndarray:
        """Depth below the fascia that surrounds the muscles and the joint, mm."""
        x, y, z = at
        front, back, half = (np.interp(z, HEIGHTS, row).astype(np.float32) for row in OUTLINE)
        bulk = np.float32(0.5 * (1 + self.knee.shape.bulk))
        u, v = x / (half * bulk), (2 * y - front - back) / (front - back)
        u, v = u * u, v * v
        # squarer than an ellipse
        norm = np.sqrt(np.sqrt(u * u + v * v + 1.2 * u * v))
        return (1 - norm) * np.float32(52)

    def _paint_muscles(self, canvas: Canvas[KneeContrast], fat: np.ndarray) -> None:
        """Paint muscles with fat between their fibres, tendons, vessels, and the nerve behind the joint."""
        at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
        # fibres and the fat between them run down the leg
        streaks = np.clip(np.abs(self.texture(at[0], at[1], at[2] * np.float32(0.15), 5, 3)) * 2 - 3.2, 0, 0.7)
        muscle = np.float32(contrast.muscle) * (1 + 0.08 * grain)
        muscle = muscle + (0.7 * fat - muscle) * streaks
        wander = iter(self.wander)
        for path, radii in MUSCLES:
            inside = _near(at, path + next(wander), np.array(radii) * self.knee.shape.bulk)
            if inside is not None:
                canvas.paint(inside + 0.8 + 1.2 * coarse, contrast.ligament * 2)
                canvas.paint(inside + 1.2 * coarse, muscle)
        for path, radii in TENDONS:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                canvas.paint(inside, contrast.ligament)
        for path, radii, brightness in VESSELS:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                canvas.paint(inside, contrast.ligament * 2)
                canvas.paint(inside - 0.8, contrast.vessel * brightness * (1 + 0.2 * grain))

    def _paint_extensors(self, canvas: Canvas[KneeContrast]) -> None:
        """Paint the tendon of the quadriceps and the patellar tendon. They are flat bands, so x is compressed."""
        at, grain, contrast = canvas.at, canvas.grain, canvas.contrast
        places, findings = self.knee.landmarks, self.knee.findings
        pressed = (at[0] * np.float32(0.19), at[1], at[2])
        tip, top, low, high = (
            places[name] * np.array([0.19, 1, 1]) for name in ("patella_tip", "patella_top", "tuberosity", "quadriceps")
        )
        # near its ends, the patellar tendon runs obliquely to the field and appears slightly bright
        tendon = tube(pressed, np.stack([tip, low]), np.array([2.6, 2.9]))
        share = np.clip((tip[2] - at[2]) / np.float32(tip[2] - low[2]), 0, 1)
        shine = np.float32(findings.magic_angle) * np.abs(2 * share - 1) ** 3 * contrast.synovium
        canvas.paint(tendon, contrast.ligament * (1 + 0.3 * grain) + shine)
        middle = 0.5 * (top + high) + np.array([0, 1.5, 0])
        tendon = tube(pressed, np.stack([top, middle, high]), np.array([3.4, 3.4, 3.0]))
        # the tendon's layers have fat between them
        layers = np.clip(1.2 - np.abs(tendon - 1.7) * 2.2, 0, 1) * np.float32(0.35)
        canvas.paint(tendon, contrast.ligament + (contrast.fat - contrast.ligament) * layers)

    def _paint_ligaments(self, canvas: Canvas[KneeContrast]) -> None:
        """Paint the cruciate and collateral ligaments."""
        at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
        knee, findings = self.knee, self.knee.findings
        places = knee.landmarks
        dark = np.float32(contrast.ligament)
        crossing = joint.pcl(at, knee)
        canvas.paint(crossing + 0.9, contrast.synovium)
        canvas.paint(crossing, dark * (1 + 0.3 * grain))
        depth, share = joint.acl(at, knee)
        length = float(np.linalg.norm(places["acl_tibia"] - places["acl_femur"]))
        # bundles fan out towards the tibia, with a little fat and fluid between them
        fibres = np.clip(self.texture(*at, 6, 5) - 0.2, 0, 1.2) * np.clip(share, 0, 1) * np.float32(0.22)
        whole = dark * 1.4 + (contrast.synovium - dark) * fibres
        if findings.acl_gap:
            gap = joint.gap_depth(share, findings, length)
            # the stumps swell and appear bright; fluid and blood fill the gap, in a cloud that is wider than the ligament
            torn = np.clip(gap * np.float32(1 / 4) + 1, 0, 1) * np.float32(findings.acl_strength)
            bright = contrast.oedema + (contrast.fluid - contrast.oedema) * np.clip(0.5 + 0.5 * grain, 0, 1)
            whole = whole + (bright - whole) * torn
            cloud = np.minimum(depth + 3.5 + 1.5 * coarse, gap + 2)
            murk = contrast.synovium + (contrast.oedema - contrast.synovium) * np.float32(findings.acl_strength)
            canvas.paint(cloud, murk * (1 + 0.15 * grain))
            depth = depth + np.float32(1.5) * torn
        canvas.paint(depth + 0.8, np.maximum(whole, contrast.synovium * 0.9))
        canvas.paint(depth, whole)
        for first, second, squeeze, radii in (
            ("mcl_femur", "mcl_tibia", 0.22, (1.5, 1.3)),
            ("lcl_femur", "fibula_head", 0.6, (2.0, 2.0)),
        ):
            pressed = (at[0], at[1] * np.float32(squeeze), at[2])
            path = np.stack([places[first], places[second]]) * np.array([1, squeeze, 1])
            inside = _near(pressed, path, np.array(radii))
            if inside is not None:
                canvas.paint(inside, dark)


def _near(at: Coordinates, path: np.ndarray, radii: np.ndarray) -> np.ndarray | None:
    """Depth inside a tube, mm; None if all points are far from the tube."""
    margin = float(radii.max()) + 6
    for part, lowest, highest in zip(at, path.min(axis=0), path.max(axis=0), strict=True):
        if part.max() < lowest - margin or part.min() > highest + margin:
            return None
    return tube(at, path, radii)
