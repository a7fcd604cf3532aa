"""Paint a leg: skin, fat, muscles, vessels, and the whole knee joint, in this order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from planewise.workshop.phantoms.knee import joint
from planewise.workshop.phantoms.knee.knee import HINGE, Knee
from planewise.workshop.phantoms.knee.population import KneeContrast
from planewise.workshop.phantoms.painting import Canvas, Coordinates, Texture, ellipsoid, rounded, tube
from planewise.workshop.phantoms.settings import tables

#: Courses of muscles, tendons and vessels.
_TABLES = tables("knee")


def paint_fluid(canvas: Canvas, knee: Knee, femur: np.ndarray) -> None:
    """Paint the recess above the patella, the gutters next to the condyles, and a Baker's cyst, in the femur's
    frame."""
    at, coarse, contrast, findings = canvas.at, canvas.coarse, canvas.contrast, knee.findings
    fluid = contrast.fluid * (1 + 0.04 * coarse)
    deep = np.float32(findings.effusion)
    x, y, z = at
    # the recess lies on the fat in front of the shaft and bends around it
    front = np.float32(25.5) + 0.35 * deep - (x * np.float32(1 / 34)) ** 2 * 9
    length = min(9 + 4.0 * findings.effusion, 34)
    recess = ellipsoid((x - 1, y - front, z - 49 - 0.4 * length), (0, 0, 0), (22 + deep, deep, length))
    recess = recess + 0.35 * deep * np.clip(coarse, -1, 1)
    # an effusion also fills the space next to the condyles
    gutter = femur + max(deep - 2, 0) * (0.8 + 0.5 * coarse)
    gutter = rounded(np.minimum(gutter, np.abs(x) - 20), np.minimum(22 - np.abs(z - 22), y + 8), 5)
    wet = np.maximum(recess, gutter)
    canvas.paint(wet + 0.8, contrast.synovium)
    canvas.paint(wet, fluid)
    if findings.cyst:
        neck = tube(at, np.array([[-19, -35, 19], [-19, -44, 14]]), np.array([1.5, 2.5]))
        radius = findings.cyst
        sac = ellipsoid(at, (-23, -44 - 0.5 * radius, 8), (1.0 * radius, 0.75 * radius, 1.9 * radius))
        inside = np.maximum(neck, sac + 1.2 * coarse)
        canvas.paint(inside + 0.8, contrast.synovium * 0.5)
        canvas.paint(inside, fluid)


def paint_capsule(
    canvas: Canvas, knee: Knee, femur: np.ndarray, tibia: np.ndarray, notch: np.ndarray, fat: np.ndarray
) -> None:
    """Paint synovium and fluid between the bones, and fat with strands inside the notch, in the knee's frame."""
    coarse, contrast = canvas.coarse, canvas.contrast
    x, y, z = canvas.at
    wide = rounded(np.float32(43) - np.abs(x), np.float32(28) - np.abs(y + 6), 8)
    between = np.minimum(np.minimum(femur + 5, tibia + 5), wide)
    wet = np.clip(0.1 + 0.06 * np.float32(knee.findings.effusion) + 0.1 * coarse, 0, 1)
    film = contrast.synovium + (contrast.fluid - contrast.synovium) * wet
    canvas.paint(between, film)
    filling = fat + (contrast.synovium - fat) * np.clip(0.4 + 0.5 * coarse, 0, 1)
    # at the front, the notch opens into Hoffa's fat pad
    inside = np.minimum(np.minimum(notch + 2, z + 8), y + 33)
    canvas.paint(np.minimum(inside, 6 - y), filling)


def paint_tibia(canvas: Canvas, knee: Knee, tibia: np.ndarray, above: np.ndarray) -> None:
    """Paint the tibia with its cartilage, and the fibula, in the tibia's frame; ``above`` its plateau, mm."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    x, y, z = at
    inner = np.abs(x) - 6.5
    lining = tibia + np.minimum(np.float32(joint.CARTILAGE["tibia"]), inner * 0.5)
    lining = np.minimum(np.minimum(lining, above + 1), inner)
    canvas.paint(lining, contrast.cartilage * (1 + 0.07 * grain))
    fibula = joint.fibula(at, tibia)
    for bone, thick in ((tibia, 1.0 + 0.045 * np.maximum(-z - 22, 0)), (fibula, np.float32(1.2))):
        marrow = _marrow(canvas, knee, "tibia")
        scar = np.clip(1 - np.abs(z + 17 + 1.5 * coarse) * np.float32(0.9), 0, 1) * np.float32(0.4)
        canvas.paint(bone, contrast.cortex)
        canvas.paint(bone - np.minimum(thick, 3.5), marrow * (1 - scar))


def paint_menisci(canvas: Canvas, knee: Knee, above: np.ndarray) -> None:
    """Paint the menisci, their tears, and grey degeneration inside them, in the tibia's frame."""
    at, coarse, contrast, findings = canvas.at, canvas.coarse, canvas.contrast, knee.findings
    for name, wedge in _TABLES["menisci"].items():
        points = joint.meniscus(at[0], at[1], above, **wedge)
        if points.depth.max() < -2:
            continue
        grey = np.clip(points.depth - 1.0, 0, 1) * np.clip(0.5 + coarse, 0, 1) * np.float32(findings.degeneration)
        tissue = contrast.ligament + (contrast.cartilage - contrast.ligament) * grey
        torn = [(tear, joint.tear_depths(points, tear)) for tear in findings.tears if tear.meniscus == name]
        for tear, (_, _, within) in torn:
            # the rest of a torn horn swells and turns grey
            swollen = np.clip(within * np.float32(0.25), 0, 1) * np.float32(0.7 * tear.strength)
            tissue = tissue + (contrast.synovium - tissue) * swollen
        # the film of fluid around the meniscus
        canvas.paint(points.depth + 0.9, contrast.synovium)
        canvas.paint(points.depth, tissue)
        for tear, (cleft, lost, _) in torn:
            for depth in (cleft, lost):
                inside = np.minimum(depth, points.depth + 0.6)
                canvas.paint(inside, contrast.fluid * np.float32(tear.strength))


def paint_femur(canvas: Canvas, knee: Knee, femur: np.ndarray, notch: np.ndarray) -> None:
    """Paint the femur with its cartilage, and any defect of the cartilage, in the femur's frame."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    x, y, z = at
    thick = np.float32(joint.CARTILAGE["femur"])
    lining = np.minimum(36 + 0.3 * y - z, 35.5 - np.abs(x))
    # the cartilage is thinner towards its borders
    lining = np.minimum(np.minimum(lining, femur + np.minimum(thick, lining * 0.35)), 0.4 - notch)
    canvas.paint(lining, contrast.cartilage * (1 + 0.07 * grain))
    loss = knee.findings.cartilage_loss
    if loss:
        place, angle = knee.findings.loss_place
        behind = np.arctan2(-(y - np.float32(HINGE[0])), -(z - np.float32(HINGE[1])))
        worn = 6.5 - np.hypot(x - np.float32(place), (behind - np.float32(angle)) * 20)
        # the defect includes the outer layer and a little of the space beyond it
        worn = np.minimum(np.minimum(worn, femur + thick + 0.6), np.float32(loss) - thick - femur)
        worn = np.minimum(np.minimum(worn, 6 - y), 18 - z)
        canvas.paint(worn, contrast.fluid)
    cortex = 1.0 + 0.06 * np.maximum(z - 34, 0)
    scar = np.clip(1 - np.abs(z - 37 + 1.5 * coarse - 0.1 * np.abs(x)) * np.float32(0.9), 0, 1) * np.float32(0.4)
    marrow = _marrow(canvas, knee, "femur")
    canvas.paint(femur, contrast.cortex)
    canvas.paint(femur - np.minimum(cortex, 4), marrow * (1 - scar))


def paint_patella(canvas: Canvas, knee: Knee, patella: np.ndarray) -> None:
    """Paint the patella with its cartilage, in the patella's frame."""
    at, grain, contrast = canvas.at, canvas.grain, canvas.contrast
    x, y, z = (part - np.float32(middle) for part, middle in zip(at, knee.patella_centre, strict=True))
    thick = np.float32(joint.CARTILAGE["patella"]) * (1 - ((z - 3) * np.float32(1 / 15)) ** 2)
    lining = np.minimum(patella + thick, -y - 1)
    canvas.paint(lining, contrast.cartilage * (1 + 0.07 * grain))
    canvas.paint(patella, contrast.cortex)
    canvas.paint(patella - 1.3, _marrow(canvas, knee, "patella"))


def _marrow(canvas: Canvas, knee: Knee, bone: str) -> np.ndarray:
    """Compute the signal of a bone's marrow with its oedema, in the bone's frame."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    marrow = np.float32(contrast.marrow) * (1 + 0.08 * grain + 0.08 * coarse)
    for bruise in knee.findings.oedemas:
        if bruise.bone != bone:
            continue
        middle = bruise.centre + (knee.patella_centre if bone == "patella" else 0)
        inside = ellipsoid(at, middle, (bruise.radius,) * 3) + 4 * coarse
        share = np.clip(inside * np.float32(1 / (0.7 * bruise.radius)), 0, 1) * np.float32(bruise.strength)
        marrow = marrow + (contrast.oedema - marrow) * share
    return marrow


#: Heights at which the leg's outline is stored, in the knee's frame, mm.
HEIGHTS = np.arange(-130.0, 131.0, 4.0)

#: Front, back and half of the width of the leg without its fat at each height, mm.
OUTLINE = PchipInterpolator([row[0] for row in _TABLES["outline"]], [row[1:] for row in _TABLES["outline"]])(HEIGHTS).T


@dataclass(frozen=True)
class Leg:
    """A knee with its surroundings. Points are given in the knee's frame, see `Knee.to_local`."""

    knee: Knee
    texture: Texture
    wander: np.ndarray  # displacement of each muscle, tendon and vessel from its usual course, (N, 3), mm
    waves: np.ndarray  # slow changes of the scanner's field over the leg: rows of wave vector (1/mm) and start

    @classmethod
    def sample(cls, rng: np.random.Generator, knee: Knee) -> Leg:
        """A leg around a knee."""
        count = sum(len(_TABLES[name]) for name in ("muscles", "tendons", "vessels"))
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
        """The signal of the leg at points in the knee's frame, relative to the brightest tissue, and their depth below the
        skin, mm, negative outside, which determines the coils' shading. ``edge`` is the pixel size in mm of an average
        knee, and ``unsuppressed`` the signal of fat where fat suppression fails."""
        grain, coarse = self.texture(*at, 4), self.texture(*at, 18, 1)
        fat = np.float32(contrast.fat) * (1 + 0.06 * grain)
        if unsuppressed:
            fat = fat + np.float32(unsuppressed) * np.clip(self.unevenness(at) - 1.4, 0, 1.2)
        canvas = Canvas(np.zeros_like(at[0]), at, grain, coarse, contrast, edge)
        depth = self._paint_skin(canvas, fat)
        self._paint_muscles(canvas, fat)
        knee = self.knee
        in_femur, in_tibia, in_patella = (
            replace(canvas, at=knee.into(bone, at)) for bone in ("femur", "tibia", "patella")
        )
        femur, notch = joint.femur(in_femur.at, knee.shape)
        tibia, above = joint.tibia(in_tibia.at, knee.shape)
        paint_fluid(in_femur, knee, femur)
        paint_capsule(canvas, knee, femur, tibia, notch, fat)
        self._paint_extensors(canvas)
        self._paint_ligaments(canvas)
        paint_tibia(in_tibia, knee, tibia, above)
        paint_menisci(in_tibia, knee, above)
        paint_femur(in_femur, knee, femur, notch)
        paint_patella(in_patella, knee, joint.patella(in_patella.at, knee))
        return canvas.signal, depth

    def _paint_skin(self, canvas: Canvas, fat: np.ndarray) -> np.ndarray:
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

    def _paint_muscles(self, canvas: Canvas, fat: np.ndarray) -> None:
        """Paint muscles with fat between their fibres, tendons, vessels, and the nerve behind the joint."""
        at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
        # fibres and the fat between them run down the leg
        streaks = np.clip(np.abs(self.texture(at[0], at[1], at[2] * np.float32(0.15), 5, 3)) * 2 - 3.2, 0, 0.7)
        muscle = np.float32(contrast.muscle) * (1 + 0.08 * grain)
        muscle = muscle + (0.7 * fat - muscle) * streaks
        wander = iter(self.wander)
        for path, radii in _TABLES["muscles"]:
            inside = _near(at, path + next(wander), np.array(radii) * self.knee.shape.bulk)
            if inside is not None:
                canvas.paint(inside + 0.8 + 1.2 * coarse, contrast.ligament * 2)
                canvas.paint(inside + 1.2 * coarse, muscle)
        for path, radii in _TABLES["tendons"]:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                canvas.paint(inside, contrast.ligament)
        for path, radii, brightness in _TABLES["vessels"]:
            inside = _near(at, path + next(wander), np.array(radii))
            if inside is not None:
                canvas.paint(inside, contrast.ligament * 2)
                canvas.paint(inside - 0.8, contrast.vessel * brightness * (1 + 0.2 * grain))

    def _paint_extensors(self, canvas: Canvas) -> None:
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

    def _paint_ligaments(self, canvas: Canvas) -> None:
        """Paint the cruciate and collateral ligaments."""
        at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
        knee, findings, places = self.knee, self.knee.findings, self.knee.landmarks
        dark = np.float32(contrast.ligament)
        crossing = joint.pcl(at, knee)
        canvas.paint(crossing + 0.9, contrast.synovium)
        canvas.paint(crossing, dark * (1 + 0.3 * grain))
        depth, share = joint.acl(at, knee)
        length = np.float32(np.linalg.norm(places["acl_tibia"] - places["acl_femur"]))
        # bundles fan out towards the tibia, with a little fat and fluid between them
        fibres = np.clip(self.texture(*at, 6, 5) - 0.2, 0, 1.2) * np.clip(share, 0, 1) * np.float32(0.22)
        whole = dark * 1.4 + (contrast.synovium - dark) * fibres
        if findings.acl_gap:
            gap = (np.float32(findings.acl_gap / 2) - np.abs(share - np.float32(findings.acl_place))) * length
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
