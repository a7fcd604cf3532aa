"""Phantom exams: synthetic hearts and knees, scanned and written as real files in real data sets' layouts."""

from planewise.phantoms.body import Body
from planewise.phantoms.defects import DEFECTS
from planewise.phantoms.exam import Exam
from planewise.phantoms.groups import GROUPS
from planewise.phantoms.heart import LABELS, Heart
from planewise.phantoms.knee import Knee
from planewise.phantoms.knee_defects import KNEE_DEFECTS
from planewise.phantoms.knee_exam import KneeExam
from planewise.phantoms.knee_population import KNEE_LABELLED, KNEE_UNLABELLED, KneePopulation
from planewise.phantoms.patient import Patient
from planewise.phantoms.planes import lay_planes, true_planes
from planewise.phantoms.population import LABELLED, UNLABELLED, Population
from planewise.phantoms.pose import ImagePose
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.writing import write_exams

__all__ = [
    "DEFECTS",
    "GROUPS",
    "KNEE_DEFECTS",
    "KNEE_LABELLED",
    "KNEE_UNLABELLED",
    "LABELLED",
    "LABELS",
    "UNLABELLED",
    "Body",
    "Exam",
    "Heart",
    "ImagePose",
    "Knee",
    "KneeExam",
    "KneePopulation",
    "Patient",
    "Population",
    "Recipe",
    "lay_planes",
    "true_planes",
    "write_exams",
]
