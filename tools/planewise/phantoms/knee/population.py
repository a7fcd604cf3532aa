"""Populations of knee exams: every number that determines their variation and difficulty, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planewise.phantoms.settings import Scan, setting


@dataclass(frozen=True)
class KneePopulation(Scan):
    """Spread of knees, findings, planes and scanners in one set of exams.

    Unless stated otherwise, a single number is a standard deviation; from a pair of numbers, values are drawn uniformly.
    """

    findings: tuple[float, ...] = setting(
        (0.194, 0.367, 0.080, 0.229, 0.130),
        "shares of knees that are normal, abnormal without a tear, with ACL tear, with meniscal tear, with both",
    )
    severity: float = setting(1.0, "factor on the visibility of findings; 0 hides all, 1.5 makes them obvious")

    # the leg in the scanner
    left: float = setting(0.5, "share of left knees; with 0 or 1, all knees are of the same side")
    flexion: tuple[float, float] = setting((0.0, 25.0), "angle between femur and tibia, degrees")
    leg_rotation: float = setting(7.0, "rotation of the leg about its own length, degrees, at most 15")
    abduction: float = setting(3.0, "angle of the leg away from or towards the midline, degrees")
    lean: float = setting(5.0, "angle of the leg above or below the table, degrees")
    centred: float = setting(0.35, "share of exams with the knee on the scanner's midline; in others it is to one side")
    shape: float = setting(1.0, "factor on every spread of form: condyles, notch, patella, muscles")
    fat: tuple[float, float] = setting((4.0, 16.0), "fat under the skin, mm")

    # the technologist
    oblique: float = setting(
        0.45, "share of sagittal stacks prescribed along the anterior cruciate ligament, about 10 degrees"
    )
    turn_error: float = setting(4.0, "rotation of sagittal and coronal stacks about the leg's length, degrees")
    tilt_error: float = setting(2.5, "tilt of any stack from its anatomical direction, degrees")
    offset_error: float = setting(2.0, "displacement of a stack's middle from the joint's middle, mm")
    coverage: tuple[float, float] = setting(
        (1.0, 9.0), "length of the sagittal stack beyond the epicondyles at either end, mm"
    )
    image_rotation: float = setting(8.0, "rotation of images in their plane, degrees")
    image_shift: float = setting(
        7.0, "displacement of the image centre from the joint's middle, mm along rows and columns"
    )

    # scanner and scan
    spacing: tuple[float, float] = setting((0.29, 0.65), "pixel spacing, mm, if the matrix is not fixed")
    matrix: int = setting(0, "columns and rows of every image; 0: from field and spacing")
    field: tuple[float, float] = setting((140.0, 165.0), "side of the images, mm")
    slices: tuple[tuple[float, float], ...] = setting(
        ((2.0, 0.2), (3.0, 0.3), (3.0, 0.6), (3.5, 0.5), (4.0, 0.4), (4.5, 0.5)),
        "protocols in use: thickness and gap, mm",
    )
    across: tuple[float, float] = setting((21.0, 35.0), "slices of a coronal or axial stack, an odd number")
    span: tuple[float, float] = setting((90.0, 110.0), "length of a coronal or axial stack, mm")
    gain: tuple[float, float] = setting((300.0, 900.0), "pixel value of fluid")
    noise: tuple[float, float] = setting((0.012, 0.035), "noise as a share of the brightest tissue's signal")
    blur: tuple[float, float] = setting((0.0, 0.5), "share of a pixel's signal that its neighbours receive")
    shading: tuple[float, float] = setting((0.1, 0.5), "extra brightness of tissue next to a coil")
    contrast: float = setting(0.15, "relative variation of each tissue's signal from scanner to scanner")
    suppression: tuple[float, float] = setting(
        (0.05, 0.35), "signal of fat where suppression fails, at the field's edges"
    )

    # further scans of DICOM exams
    plain_sagittal: float = setting(0.6, "share of exams with a further sagittal series without fat suppression")
    localizer: float = setting(0.3, "share of exams with a localizer of three orientations in one series")
    poor_names: float = setting(0.15, "share of series whose description is missing or does not name the plane")
    views: int = setting(1, "mrnet's layout: 1 writes only sagittal volumes, 3 also coronal and axial ones")

    def demo(self) -> KneePopulation:
        """The same population with about 128 pixels, thick slices 6 mm apart, and five or seven slices in coronal and axial
        stacks, which takes about a twentieth of the work."""
        return replace(
            self,
            spacing=(1.1, 1.35),
            matrix=self.matrix // 2,
            slices=((4.0, 1.8), (4.5, 1.5), (5.0, 1.2)),
            across=(5.0, 7.0),
            span=(50.0, 60.0),
        )


#: Exams for pretraining, as in fastMRI: many scanners and protocols, no labels.
KNEE_UNLABELLED = KneePopulation()

#: Exams with labels, as in MRNet: scanners of one manufacturer, square images with one matrix, more noise, and another
#: fat suppression.
KNEE_LABELLED = KneePopulation(
    oblique=0.3,
    matrix=256,
    field=(140.0, 160.0),
    slices=((2.5, 0.3), (3.0, 0.3), (3.0, 0.5), (3.5, 0.4)),
    noise=(0.02, 0.055),
    blur=(0.2, 0.8),
    shading=(0.2, 0.8),
    contrast=0.22,
    suppression=(0.1, 0.5),
    flexion=(2.0, 25.0),
)
