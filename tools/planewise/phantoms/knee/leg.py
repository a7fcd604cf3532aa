"""A leg around the knee: skin, fat, muscles, vessels, and everything of the joint, painted in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from planewise.phantoms.knee import bones, joint
from planewise.phantoms.knee.contrast import KneeContrast
from planewise.phantoms.knee.knee import HINGE, Knee
from planewise.phantoms.knee.muscles import MUSCLES, TENDONS, VESSELS
from planewise.phantoms.solids import Coordinates, ellipsoid, paint, rounded, tube
from planewise.phantoms.texture import Texture

#: Heights at which the leg's outline is kept, knee's frame, mm.
HEIGHTS = np.arange(-130.0, 131.0, 4.0)

#: The leg under its fat, rows of front, back and half width at each height, mm: a smooth curve through a few places.
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
    """A knee with what is around it. Points are given in the knee's frame, see `Knee.to_local`."""

    knee: Knee
    texture: Texture
    wander: np.ndarray
    """How far each muscle, tendon and vessel lies off its usual course, shape ``(N, 3)``, mm"""
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
        """A field that changes slowly over the leg, about -1.7 to 1.7, for coils and for fat suppression."""
        total = np.zeros_like(at[0])
        for kx, ky, kz, start in self.waves.astype(np.float32):
            total += np.sin(at[0] * kx + at[1] * ky + at[2] * kz + start)
        return total

    def paint(
        self, at: Coordinates, contrast: KneeContrast, edge: float, unsuppressed: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Signal of the leg.

        Args:
            at: points in the knee's frame, equal shapes, float32.
            contrast: the sequence's tissues.
            edge: pixel size, mm of an average knee.
            unsuppressed: signal that fat has where its suppression fails.

        Returns:
            signal: relative to the brightest tissue, float32.
            depth: below the skin, mm, negative outside; the coils' shading follows it.
        """
        grain, coarse = self.texture(*at, 4), self.texture(*at, 18, 1)
        fat = np.float32(contrast.fat) * (1 + 0.06 * grain)
        if unsuppressed:
            fat = fat + np.float32(unsuppressed) * np.clip(self.unevenness(at) - 1.4, 0, 1.2)
        signal = np.zeros_like(at[0])
        depth = self._paint_skin(signal, at, fat, coarse, contrast, edge)
        self._paint_muscles(signal, at, fat, grain, coarse, contrast, edge)
        femur_at, tibia_at, patella_at = (self.knee.into(bone, at) for bone in ("femur", "tibia", "patella"))
        femur, notch = bones.femur(femur_at, self.knee.shape)
        tibia, above = bones.tibia(tibia_at, self.knee.shape)
        patella = bones.patella(patella_at, self.knee)
        self._paint_fluid(signal, femur_at, femur, patella, coarse, contrast, edge)
        self._paint_capsule(signal, at, femur, tibia, notch, fat, grain, coarse, contrast, edge)
        self._paint_extensors(signal, at, grain, contrast, edge)
        self._paint_ligaments(signal, at, grain, coarse, contrast, edge)
        self._paint_tibia(signal, tibia_at, tibia, above, grain, coarse, contrast, edge)
        self._paint_menisci(signal, tibia_at, above, grain, coarse, contrast, edge)
        self._paint_femur(signal, femur_at, femur, notch, grain, coarse, contrast, edge)
        self._paint_patella(signal, patella_at, patella, grain, coarse, contrast, edge)
        return signal, depth

    def _paint_skin(
        self,
        signal: np.ndarray,
        at: Coordinates,
        fat: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> np.ndarray:
        """Skin, fat and the fascia around the muscles. Returns the depth below the skin."""
        inner = self._inside_fascia(at)
        # more fat behind and at the inner side, little over the kneecap
        bare = np.clip((at[1] - 10) * np.float32(1 / 45), 0, 1)
        depth = inner + np.float32(self.knee.shape.fat) * (1 - 0.7 * bare) + 1.5
        strands = np.clip(1 - np.abs(coarse) * 7, 0, 1) * np.float32(0.25)
        paint(signal, depth, contrast.skin, edge)
        paint(signal, depth - 1.5, fat * (1 - strands) + contrast.ligament * strands, edge)
        paint(signal, 0.5 - np.abs(inner), contrast.ligament * 1.5, edge)
        return depth

    def _inside_fascia(self, at: Coordinates) -> np.ndarray:
        """Depth below the fascia that wraps muscles and joint."""
        x, y, z = at
        front, back, half = (np.interp(z, HEIGHTS, row).astype(np.float32) for row in OUTLINE)
        bulk = np.float32(0.5 * (1 + self.knee.shape.bulk))
        u, v = x / (half * bulk), (2 * y - front - back) / (front - back)
        u, v = u * u, v * v
        # squarer than an ellipse
        norm = np.sqrt(np.sqrt(u * u + v * v + 1.2 * u * v))
        return (1 - norm) * np.float32(52)

    def _paint_muscles(
        self,
        signal: np.ndarray,
        at: Coordinates,
        fat: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Muscles with fat between their fibres, tendons, vessels and the nerve behind the joint."""
        # fibres run down the leg, and so does the fat between them
        streaks = np.clip(np.abs(self.texture(at[0], at[1], at[2] * np.float32(0.15), 5, 3)) * 2 - 3.2, 0, 0.7)
        muscle = np.float32(contrast.muscle) * (1 + 0.08 * grain)
        muscle = muscle + (0.7 * fat - muscle) * streaks
        wander = iter(self.wander)
        for path, radii in MUSCLES:
            inside = _near(at, path + next(wander), np.array(radii) * self.knee.shape.bulk)
            if inside is not None:
                paint(signal, inside + 0.8 + 1.2 * coarse, contrast.ligament * 2, edge)
                paint(signal, inside + 1.2 * coarse, muscle, edge)
        for path, radii in TENDONS:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                paint(signal, inside, contrast.ligament, edge)
        for path, radii, brightness in VESSELS:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                paint(signal, inside, contrast.ligament * 2, edge)
                paint(signal, inside - 0.8, contrast.vessel * brightness * (1 + 0.2 * grain), edge)

    def _paint_fluid(
        self,
        signal: np.ndarray,
        at: Coordinates,
        femur: np.ndarray,
        patella: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """The recess above the patella, the gutters beside the condyles, and a Baker's cyst."""
        findings = self.knee.findings
        fluid = contrast.fluid * (1 + 0.04 * coarse)
        deep = np.float32(findings.effusion)
        x, y, z = at
        # the recess lies on the fat in front of the shaft and bends around it
        front = np.float32(25.5) + 0.35 * deep - (x * np.float32(1 / 34)) ** 2 * 9
        length = min(9 + 4.0 * findings.effusion, 34)
        recess = ellipsoid((x - 1, y - front, z - 49 - 0.4 * length), (0, 0, 0), (22 + deep, deep, length))
        recess = recess + 0.35 * deep * np.clip(coarse, -1, 1)
        # an effusion fills the space beside the condyles too
        gutter = femur + max(deep - 2, 0) * (0.8 + 0.5 * coarse)
        gutter = rounded(np.minimum(gutter, np.abs(x) - 20), np.minimum(22 - np.abs(z - 22), y + 8), 5)
        wet = np.maximum(recess, gutter)
        paint(signal, wet + 0.8, contrast.synovium, edge)
        paint(signal, wet, fluid, edge)
        if findings.cyst:
            neck = tube(at, np.array([[-19, -35, 19], [-19, -44, 14]]), np.array([1.5, 2.5]))
            radius = findings.cyst
            sac = ellipsoid(at, (-23, -44 - 0.5 * radius, 8), (1.0 * radius, 0.75 * radius, 1.9 * radius))
            inside = np.maximum(neck, sac + 1.2 * coarse)
            paint(signal, inside + 0.8, contrast.synovium * 0.5, edge)
            paint(signal, inside, fluid, edge)

    def _paint_capsule(
        self,
        signal: np.ndarray,
        at: Coordinates,
        femur: np.ndarray,
        tibia: np.ndarray,
        notch: np.ndarray,
        fat: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Synovium and fluid between the bones, and the fat with its strands inside the notch."""
        x, y, z = at
        wide = rounded(np.float32(43) - np.abs(x), np.float32(28) - np.abs(y + 6), 8)
        between = np.minimum(np.minimum(femur + 5, tibia + 5), wide)
        wet = np.clip(0.1 + 0.06 * np.float32(self.knee.findings.effusion) + 0.1 * coarse, 0, 1)
        film = contrast.synovium + (contrast.fluid - contrast.synovium) * wet
        paint(signal, between, film, edge)
        filling = fat + (contrast.synovium - fat) * np.clip(0.4 + 0.5 * coarse, 0, 1)
        # in front the notch opens into Hoffa's fat pad
        inside = np.minimum(np.minimum(notch + 2, z + 8), y + 33)
        paint(signal, np.minimum(inside, 6 - y), filling, edge)

    def _paint_extensors(
        self, signal: np.ndarray, at: Coordinates, grain: np.ndarray, contrast: KneeContrast, edge: float
    ) -> None:
        """Tendon of the quadriceps, patellar tendon and the retinacula: flat bands, so x is pressed together."""
        places, findings = self.knee.landmarks, self.knee.findings
        pressed = (at[0] * np.float32(0.19), at[1], at[2])
        tip, top, low, high = (
            places[name] * np.array([0.19, 1, 1]) for name in ("patella_tip", "patella_top", "tuberosity", "quadriceps")
        )
        # near its ends the patellar tendon runs oblique to the field and shines a little
        tendon = tube(pressed, np.stack([tip, low]), np.array([2.6, 2.9]))
        share = np.clip((tip[2] - at[2]) / np.float32(tip[2] - low[2]), 0, 1)
        shine = np.float32(findings.magic_angle) * np.abs(2 * share - 1) ** 3 * contrast.synovium
        paint(signal, tendon, contrast.ligament * (1 + 0.3 * grain) + shine, edge)
        middle = 0.5 * (top + high) + np.array([0, 1.5, 0])
        tendon = tube(pressed, np.stack([top, middle, high]), np.array([3.4, 3.4, 3.0]))
        # the tendon's layers have fat between them
        layers = np.clip(1.2 - np.abs(tendon - 1.7) * 2.2, 0, 1) * np.float32(0.35)
        paint(signal, tendon, contrast.ligament + (contrast.fat - contrast.ligament) * layers, edge)

    def _paint_ligaments(
        self,
        signal: np.ndarray,
        at: Coordinates,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Cruciate and collateral ligaments."""
        knee, findings = self.knee, self.knee.findings
        places = knee.landmarks
        dark = np.float32(contrast.ligament)
        crossing = joint.pcl(at, knee)
        paint(signal, crossing + 0.9, contrast.synovium, edge)
        paint(signal, crossing, dark * (1 + 0.3 * grain), edge)
        depth, share = joint.acl(at, knee)
        length = float(np.linalg.norm(places["acl_tibia"] - places["acl_femur"]))
        # bundles fan out to the tibia with a little fat and fluid between them
        fibres = np.clip(self.texture(*at, 6, 5) - 0.2, 0, 1.2) * np.clip(share, 0, 1) * np.float32(0.22)
        whole = dark * 1.4 + (contrast.synovium - dark) * fibres
        if findings.acl_gap:
            gap = joint.gap_depth(share, findings, length)
            # stumps swell and shine; the gap holds fluid and blood, in a cloud wider than the ligament
            torn = np.clip(gap * np.float32(1 / 4) + 1, 0, 1) * np.float32(findings.acl_strength)
            bright = contrast.oedema + (contrast.fluid - contrast.oedema) * np.clip(0.5 + 0.5 * grain, 0, 1)
            whole = whole + (bright - whole) * torn
            cloud = np.minimum(depth + 3.5 + 1.5 * coarse, gap + 2)
            murk = contrast.synovium + (contrast.oedema - contrast.synovium) * np.float32(findings.acl_strength)
            paint(signal, cloud, murk * (1 + 0.15 * grain), edge)
            depth = depth + np.float32(1.5) * torn
        paint(signal, depth + 0.8, np.maximum(whole, contrast.synovium * 0.9), edge)
        paint(signal, depth, whole, edge)
        for first, second, squeeze, radii in (
            ("mcl_femur", "mcl_tibia", 0.22, (1.5, 1.3)),
            ("lcl_femur", "fibula_head", 0.6, (2.0, 2.0)),
        ):
            pressed = (at[0], at[1] * np.float32(squeeze), at[2])
            path = np.stack([places[first], places[second]]) * np.array([1, squeeze, 1])
            inside = _near(pressed, path, np.array(radii))
            if inside is not None:
                paint(signal, inside, dark, edge)

    def _marrow(
        self, at: Coordinates, bone: str, grain: np.ndarray, coarse: np.ndarray, contrast: KneeContrast
    ) -> np.ndarray:
        """Signal of a bone's marrow with its oedema; points in the bone's frame."""
        marrow = np.float32(contrast.marrow) * (1 + 0.08 * grain + 0.08 * coarse)
        for bruise in self.knee.findings.oedemas:
            if bruise.bone != bone:
                continue
            middle = np.array(bruise.centre) + (self.knee.patella_centre if bone == "patella" else 0)
            inside = ellipsoid(at, middle, (bruise.radius,) * 3) + 4 * coarse
            share = np.clip(inside * np.float32(1 / (0.7 * bruise.radius)), 0, 1) * np.float32(bruise.strength)
            marrow = marrow + (contrast.oedema - marrow) * share
        return marrow

    def _paint_tibia(
        self,
        signal: np.ndarray,
        at: Coordinates,
        tibia: np.ndarray,
        above: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Tibia with its cartilage, and the fibula."""
        x, y, z = at
        inner = np.abs(x) - 6.5
        lining = tibia + np.minimum(np.float32(bones.CARTILAGE["tibia"]), inner * 0.5)
        lining = np.minimum(np.minimum(lining, above + 1), inner)
        paint(signal, lining, contrast.cartilage * (1 + 0.07 * grain), edge)
        fibula = bones.fibula(at, tibia)
        for bone, thick in ((tibia, 1.0 + 0.045 * np.maximum(-z - 22, 0)), (fibula, np.float32(1.2))):
            marrow = self._marrow(at, "tibia", grain, coarse, contrast)
            scar = np.clip(1 - np.abs(z + 17 + 1.5 * coarse) * np.float32(0.9), 0, 1) * np.float32(0.4)
            paint(signal, bone, contrast.cortex, edge)
            paint(signal, bone - np.minimum(thick, 3.5), marrow * (1 - scar), edge)

    def _paint_menisci(
        self,
        signal: np.ndarray,
        at: Coordinates,
        above: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Menisci, their tears, and the grey inside them that is no tear."""
        findings = self.knee.findings
        for medial in (True, False):
            points = joint.meniscus(at[0], at[1], above, medial)
            if points.depth.max() < -2:
                continue
            grey = np.clip(points.depth - 1.0, 0, 1) * np.clip(0.5 + coarse, 0, 1) * np.float32(findings.degeneration)
            tissue = contrast.ligament + (contrast.cartilage - contrast.ligament) * grey
            torn = [(tear, joint.tear_depths(points, tear)) for tear in findings.tears if tear.medial == medial]
            for tear, (_, _, within) in torn:
                # what is left of a torn horn swells and turns grey
                swollen = np.clip(within * np.float32(0.25), 0, 1) * np.float32(0.7 * tear.strength)
                tissue = tissue + (contrast.synovium - tissue) * swollen
            # the film of fluid around it
            paint(signal, points.depth + 0.9, contrast.synovium, edge)
            paint(signal, points.depth, tissue, edge)
            for tear, (cleft, lost, _) in torn:
                for depth in (cleft, lost):
                    inside = np.minimum(depth, points.depth + 0.6)
                    paint(signal, inside, contrast.fluid * np.float32(tear.strength), edge)

    def _paint_femur(
        self,
        signal: np.ndarray,
        at: Coordinates,
        femur: np.ndarray,
        notch: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Femur with its cartilage and any defect of it."""
        x, y, z = at
        thick = np.float32(bones.CARTILAGE["femur"])
        lining = np.minimum(36 + 0.3 * y - z, 35.5 - np.abs(x))
        # thinner towards its borders
        lining = np.minimum(np.minimum(lining, femur + np.minimum(thick, lining * 0.35)), 0.4 - notch)
        paint(signal, lining, contrast.cartilage * (1 + 0.07 * grain), edge)
        loss = self.knee.findings.cartilage_loss
        if loss:
            place, angle = self.knee.findings.loss_place
            behind = np.arctan2(-(y - np.float32(HINGE[0])), -(z - np.float32(HINGE[1])))
            worn = 6.5 - np.hypot(x - np.float32(place), (behind - np.float32(angle)) * 20)
            # the outer layer, and a little of the space beyond
            worn = np.minimum(np.minimum(worn, femur + thick + 0.6), np.float32(loss) - thick - femur)
            worn = np.minimum(np.minimum(worn, 6 - y), 18 - z)
            paint(signal, worn, contrast.fluid, edge)
        cortex = 1.0 + 0.06 * np.maximum(z - 34, 0)
        scar = np.clip(1 - np.abs(z - 37 + 1.5 * coarse - 0.1 * np.abs(x)) * np.float32(0.9), 0, 1) * np.float32(0.4)
        marrow = self._marrow(at, "femur", grain, coarse, contrast)
        paint(signal, femur, contrast.cortex, edge)
        paint(signal, femur - np.minimum(cortex, 4), marrow * (1 - scar), edge)

    def _paint_patella(
        self,
        signal: np.ndarray,
        at: Coordinates,
        patella: np.ndarray,
        grain: np.ndarray,
        coarse: np.ndarray,
        contrast: KneeContrast,
        edge: float,
    ) -> None:
        """Patella with its cartilage."""
        x, y, z = (part - np.float32(middle) for part, middle in zip(at, self.knee.patella_centre, strict=True))
        thick = np.float32(bones.CARTILAGE["patella"]) * (1 - ((z - 3) * np.float32(1 / 15)) ** 2)
        lining = np.minimum(patella + thick, -y - 1)
        paint(signal, lining, contrast.cartilage * (1 + 0.07 * grain), edge)
        paint(signal, patella, contrast.cortex, edge)
        paint(signal, patella - 1.3, self._marrow(at, "patella", grain, coarse, contrast), edge)


def _near(at: Coordinates, path: np.ndarray, radii: np.ndarray) -> np.ndarray | None:
    """Depth inside a tube, or none where all points are clear of it."""
    margin = float(radii.max()) + 6
    for part, lowest, highest in zip(at, path.min(axis=0), path.max(axis=0), strict=True):
        if part.max() < lowest - margin or part.min() > highest + margin:
            return None
    return tube(at, path, radii)
