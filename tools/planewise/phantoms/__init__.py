"""Phantom exams: synthetic bodies that are scanned and written as real files, in the layouts of real data sets."""

from planewise.phantoms.heart.body import Body
from planewise.phantoms.heart.defects import DEFECTS
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.heart import ATRIA, LABELS, Heart
from planewise.phantoms.heart.nifti_defects import MNMS2_DEFECTS, UKBB_DEFECTS
from planewise.phantoms.heart.planes import lay_planes, true_planes
from planewise.phantoms.heart.population import LABELLED, UNLABELLED, VOLUNTEERS, Population
from planewise.phantoms.knee.defects import KNEE_DEFECTS
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED
from planewise.phantoms.layout import LAYOUTS
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.pose import ImagePose
from planewise.phantoms.writing import write_exams

__all__ = [
    "ATRIA",
    "DEFECTS",
    "GROUPS",
    "KNEE_DEFECTS",
    "KNEE_LABELLED",
    "KNEE_UNLABELLED",
    "LABELLED",
    "LABELS",
    "LAYOUTS",
    "MNMS2_DEFECTS",
    "UKBB_DEFECTS",
    "UNLABELLED",
    "VOLUNTEERS",
    "Body",
    "Exam",
    "Heart",
    "ImagePose",
    "Knee",
    "KneeExam",
    "Population",
    "Recipe",
    "lay_planes",
    "true_planes",
    "write_exams",
]
