"""Populations of heart exams: every number that determines their variation and difficulty, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planewise.phantoms.settings import Scan, setting


@dataclass(frozen=True)
class Population(Scan):
    """Spread of anatomy, planes and scanners in one set of exams.

    Unless stated otherwise, a single number is a standard deviation; from a pair of numbers, values are drawn uniformly.
    Segmentation from few labels is difficult mainly because the pose varies, and also because form and contrast vary.
    """

    groups: tuple[float, ...] = setting(
        (0.15, 0.13, 0.15, 0.44, 0.13), "shares of DCM, HCM, MINF, NOR, RV; the ACDC layout uses equal shares"
    )

    # pose of the heart in the chest, and of the image around the heart
    tilt: float = setting(9.0, "tilt of the long axis from the usual one, degrees")
    roll: float = setting(10.0, "rotation of the heart about its long axis, degrees")
    position: float = setting(7.0, "displacement of the heart in the chest, mm along each axis")
    image_rotation: float = setting(18.0, "rotation of short-axis images in their plane, degrees")
    image_shift: float = setting(13.0, "displacement of the image centre from the heart, mm along rows and columns")

    # form
    shape: float = setting(1.0, "factor on every spread of form: wall, dents, insertions, papillary muscles")

    right_taper: tuple[float, float] = setting(
        (1.1, 1.1),
        "power with which the right ventricle narrows towards the apex; below 1, it narrows only near the apex",
    )

    right_tilt: tuple[float, float] = setting(
        (0.28, 0.42), "slope of the right ventricle's base, which is higher in front, at the pulmonary valve"
    )
    right_end: tuple[float, float] = setting(
        (66.0, 66.0),
        "elevation above the equator at which the right ventricle ends on average, degrees; 90 is the apex",
    )
    right_dents: float = setting(0.0, "relative deviation of the right ventricle's free wall from a smooth form")
    apical_thinning: tuple[float, float] = setting(
        (0.38, 0.38), "share of its thickness that the left ventricle's wall loses from the equator to the apex"
    )
    papillary: tuple[float, float] = setting((4.0, 6.0), "thickness of the papillary muscles, mm")
    heart_fat: tuple[float, float] = setting((1.0, 1.0), "factor on the thickness of the fat around the heart")

    # the reader
    whole_slices: float = setting(
        0.0,
        "share of a ventricle's section that must be on its side of the valve plane for readers to draw the whole section, "
        "otherwise nothing, as in ACDC; 0: they draw up to the valve plane",
    )

    masks: int = setting(1, "ukbb's layout: 0 writes only cines, without masks and their frames")

    # the technologist
    turn_error: float = setting(4.0, "rotation of long-axis planes about the long axis, degrees")
    tilt_error: float = setting(3.0, "tilt of any plane from its anatomical direction, degrees")
    offset_error: float = setting(2.0, "displacement of long-axis planes along their normal, mm")
    coverage: tuple[float, float] = setting(
        (-0.3, 1.0),
        "how far the stack extends beyond the mitral plane and the apex, in slice distances; negative if it ends before them",
    )

    # scanner and scan
    breath: float = setting(1.5, "displacement of the heart up or down from breath-hold to breath-hold, mm")
    spacing: tuple[float, float] = setting((1.25, 1.45), "pixel spacing, mm")
    field: tuple[float, float] = setting((300.0, 380.0), "longer side of the image, mm")
    field_ratio: tuple[float, float] = setting((0.78, 1.0), "shorter side of the image as a share of the longer")
    slices: tuple[tuple[float, float], ...] = setting(
        ((6.0, 2.0), (8.0, 2.0)), "protocols in use: thickness and gap, mm"
    )
    phases: int = setting(30, "phases of the cycle")
    gain: tuple[float, float] = setting((280.0, 460.0), "pixel value of blood")
    noise: tuple[float, float] = setting((0.012, 0.035), "noise as a share of the blood's signal")
    blur: tuple[float, float] = setting((0.0, 0.5), "share of a pixel's signal that its neighbours receive")
    shading: tuple[float, float] = setting((0.15, 0.7), "extra brightness of tissue next to a coil")

    # contrast, as shares of the blood's signal
    myocardium: tuple[float, float] = setting((0.20, 0.36), "signal of heart muscle")
    right_blood: tuple[float, float] = setting((0.97, 0.97), "signal of blood in the right heart")
    flow: tuple[float, float] = setting((1.0, 1.0), "factor on the unevenness of blood, dark where it swirls")
    strands: tuple[float, float] = setting((1.0, 1.0), "factor on the depth of the trabeculae in both ventricles")
    sponge: tuple[float, float] = setting(
        (0.0, 0.0),
        "thickness of the sponge of trabeculae along the ventricles' walls, which readers count as blood, mm",
    )
    sponge_blood: tuple[float, float] = setting((0.5, 0.5), "share of blood in that sponge")
    right_strands: tuple[float, float] = setting(
        (0.0, 0.0), "share of muscle in the strands across the right ventricle, highest at its apex"
    )
    fat: tuple[float, float] = setting((0.9, 1.5), "signal of fat")
    liver: tuple[float, float] = setting((0.22, 0.42), "signal of the liver")
    lung: tuple[float, float] = setting((0.01, 0.05), "signal of the lungs")
    muscle: tuple[float, float] = setting((0.13, 0.24), "signal of other muscle")
    stomach: tuple[float, float] = setting((0.08, 0.95), "signal of the stomach's contents")
    opposed_phase: float = setting(
        0.8, "share of scanners that image fat and water in opposed phase, with dark lines between them"
    )

    def demo(self) -> Population:
        """With twice the pixel spacing, five phases, and slices 10 mm apart, for a thirtieth of the work."""
        return replace(
            self,
            spacing=(2 * self.spacing[0], 2 * self.spacing[1]),
            field=(280.0, 330.0),
            field_ratio=(0.85, 1.0),
            slices=tuple(pair for pair in self.slices if sum(pair) == 10),
            phases=5,
        )


#: Exams for pretraining, as in DSBCC: newer scanners, thinner slices with gaps, images corrected for coil shading.
UNLABELLED = Population()

#: Exams with masks, as in ACDC: another hospital, with less contrast, stronger coil shading, more noise, and slices that
#: are thick or far apart.
LABELLED = Population(
    spacing=(1.30, 1.70),
    slices=((5.0, 5.0), (8.0, 0.0), (10.0, 0.0)),
    phases=28,
    gain=(90.0, 260.0),
    noise=(0.02, 0.055),
    blur=(0.2, 0.9),
    shading=(0.4, 1.3),
    myocardium=(0.26, 0.48),
    fat=(0.7, 1.3),
    liver=(0.30, 0.60),
    lung=(0.02, 0.09),
    muscle=(0.17, 0.34),
    opposed_phase=0.5,
)

#: Exams as in UK Biobank: volunteers, most of them healthy, with one protocol on one type of scanner.
VOLUNTEERS = Population(
    groups=(0.04, 0.04, 0.06, 0.82, 0.04),
    spacing=(1.8, 1.85),
    slices=((8.0, 2.0),),
    phases=50,
    gain=(150.0, 260.0),
    noise=(0.015, 0.04),
    shading=(0.3, 0.9),
    myocardium=(0.24, 0.40),
)
