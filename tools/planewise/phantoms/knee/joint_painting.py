"""Paint the inside of a knee joint: bones with cartilage and marrow, menisci, synovium and fluid.

Each function paints one structure of a knee on a canvas. The points of the canvas must be in the frame that is named at
the end of the function's first sentence (see `Knee`). Depths (``femur``, ``tibia``, ``patella``, ``notch``) belong to the
same points, and are mm, positive inside.
"""

from __future__ import annotations

import numpy as np

from planewise.phantoms.canvas import Canvas
from planewise.phantoms.knee import bones, joint
from planewise.phantoms.knee.contrast import KneeContrast
from planewise.phantoms.knee.knee import HINGE, Knee
from planewise.phantoms.solids import ellipsoid, rounded, tube


def paint_fluid(canvas: Canvas[KneeContrast], knee: Knee, femur: np.ndarray) -> None:
    """Paint the recess above the patella, the gutters next to the condyles, and a Baker's cyst, in the femur's
    frame."""
    at, coarse, contrast = canvas.at, canvas.coarse, canvas.contrast
    findings = knee.findings
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
    canvas: Canvas[KneeContrast], knee: Knee, femur: np.ndarray, tibia: np.ndarray, notch: np.ndarray, fat: np.ndarray
) -> None:
    """Paint synovium and fluid between the bones, and fat with strands inside the notch, in the knee's frame.

    ``fat`` is the signal of fat at each point, which is uneven if fat suppression fails.
    """
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


def paint_tibia(canvas: Canvas[KneeContrast], knee: Knee, tibia: np.ndarray, above: np.ndarray) -> None:
    """Paint the tibia with its cartilage, and the fibula, in the tibia's frame. ``above`` is the height above the
    plateau, mm."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    x, y, z = at
    inner = np.abs(x) - 6.5
    lining = tibia + np.minimum(np.float32(bones.CARTILAGE["tibia"]), inner * 0.5)
    lining = np.minimum(np.minimum(lining, above + 1), inner)
    canvas.paint(lining, contrast.cartilage * (1 + 0.07 * grain))
    fibula = bones.fibula(at, tibia)
    for bone, thick in ((tibia, 1.0 + 0.045 * np.maximum(-z - 22, 0)), (fibula, np.float32(1.2))):
        marrow = _marrow(canvas, knee, "tibia")
        scar = np.clip(1 - np.abs(z + 17 + 1.5 * coarse) * np.float32(0.9), 0, 1) * np.float32(0.4)
        canvas.paint(bone, contrast.cortex)
        canvas.paint(bone - np.minimum(thick, 3.5), marrow * (1 - scar))


def paint_menisci(canvas: Canvas[KneeContrast], knee: Knee, above: np.ndarray) -> None:
    """Paint the menisci, their tears, and grey degeneration inside them, in the tibia's frame. For ``above``, see
    `paint_tibia`."""
    at, coarse, contrast = canvas.at, canvas.coarse, canvas.contrast
    findings = knee.findings
    for medial in (True, False):
        points = joint.meniscus(at[0], at[1], above, medial)
        if points.depth.max() < -2:
            continue
        grey = np.clip(points.depth - 1.0, 0, 1) * np.clip(0.5 + coarse, 0, 1) * np.float32(findings.degeneration)
        tissue = contrast.ligament + (contrast.cartilage - contrast.ligament) * grey
        torn = [(tear, joint.tear_depths(points, tear)) for tear in findings.tears if tear.medial == medial]
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


def paint_femur(canvas: Canvas[KneeContrast], knee: Knee, femur: np.ndarray, notch: np.ndarray) -> None:
    """Paint the femur with its cartilage, and any defect of the cartilage, in the femur's frame."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    x, y, z = at
    thick = np.float32(bones.CARTILAGE["femur"])
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


def paint_patella(canvas: Canvas[KneeContrast], knee: Knee, patella: np.ndarray) -> None:
    """Paint the patella with its cartilage, in the patella's frame."""
    at, grain, contrast = canvas.at, canvas.grain, canvas.contrast
    x, y, z = (part - np.float32(middle) for part, middle in zip(at, knee.patella_centre, strict=True))
    thick = np.float32(bones.CARTILAGE["patella"]) * (1 - ((z - 3) * np.float32(1 / 15)) ** 2)
    lining = np.minimum(patella + thick, -y - 1)
    canvas.paint(lining, contrast.cartilage * (1 + 0.07 * grain))
    canvas.paint(patella, contrast.cortex)
    canvas.paint(patella - 1.3, _marrow(canvas, knee, "patella"))


def _marrow(canvas: Canvas[KneeContrast], knee: Knee, bone: str) -> np.ndarray:
    """Compute the signal of a bone's marrow with its oedema, in the bone's frame."""
    at, grain, coarse, contrast = canvas.at, canvas.grain, canvas.coarse, canvas.contrast
    marrow = np.float32(contrast.marrow) * (1 + 0.08 * grain + 0.08 * coarse)
    for bruise in knee.findings.oedemas:
        if bruise.bone != bone:
            continue
        middle = np.array(bruise.centre) + (knee.patella_centre if bone == "patella" else 0)
        inside = ellipsoid(at, middle, (bruise.radius,) * 3) + 4 * coarse
        share = np.clip(inside * np.float32(1 / (0.7 * bruise.radius)), 0, 1) * np.float32(bruise.strength)
        marrow = marrow + (contrast.oedema - marrow) * share
    return marrow
