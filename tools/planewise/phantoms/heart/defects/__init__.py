"""Flaws of real heart exams, written on demand to test readers."""

from planewise.phantoms.defect import Defect
from planewise.phantoms.heart.defects.contents import CONTENTS
from planewise.phantoms.heart.defects.geometry import GEOMETRY
from planewise.phantoms.heart.defects.phases import SLICES
from planewise.phantoms.heart.defects.series import SERIES
from planewise.phantoms.heart.defects.tree import TREE
from planewise.phantoms.heart.defects.views import VIEWS

#: Flaws by name, in listing order.
DEFECTS: dict[str, Defect] = SERIES | SLICES | VIEWS | GEOMETRY | CONTENTS | TREE
