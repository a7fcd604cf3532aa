"""Phantom exams: synthetic hearts, scanned and written as real files in real data sets' layouts."""

from planewise.phantoms.body import Body
from planewise.phantoms.defects import DEFECTS
from planewise.phantoms.exam import Exam
from planewise.phantoms.groups import GROUPS
from planewise.phantoms.heart import LABELS, Heart
from planewise.phantoms.patient import Patient
from planewise.phantoms.planes import ImagePose, lay_planes, true_planes
from planewise.phantoms.population import LABELLED, UNLABELLED, Population
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.writing import write_exams

__all__ = [
    "DEFECTS",
    "GROUPS",
    "LABELLED",
    "LABELS",
    "UNLABELLED",
    "Body",
    "Exam",
    "Heart",
    "ImagePose",
    "Patient",
    "Population",
    "Recipe",
    "lay_planes",
    "true_planes",
    "write_exams",
]
