"""Phantom exams: synthetic bodies that are scanned and written as real files, in the layouts of real data sets."""

from planewise.workshop.phantoms.heart.population import LABELLED, UNLABELLED, VOLUNTEERS
from planewise.workshop.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED
from planewise.workshop.phantoms.layouts import LAYOUTS
from planewise.workshop.phantoms.recipe import Recipe, write_exams
