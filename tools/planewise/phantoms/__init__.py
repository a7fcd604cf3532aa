"""Phantom exams: synthetic bodies that are scanned and written as real files, in the layouts of real data sets."""

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.population import LABELLED, UNLABELLED, VOLUNTEERS
from planewise.phantoms.imaging import ImagePose
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED
from planewise.phantoms.layouts import LAYOUTS
from planewise.phantoms.recipe import Recipe, write_exams

__all__ = [
    "KNEE_LABELLED",
    "KNEE_UNLABELLED",
    "LABELLED",
    "LAYOUTS",
    "UNLABELLED",
    "VOLUNTEERS",
    "Exam",
    "ImagePose",
    "KneeExam",
    "Recipe",
    "write_exams",
]
