"""The layouts of phantom exams, with one record for each layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType

from planewise.phantoms.abdomen.abdomen import Abdomen
from planewise.phantoms.abdomen.population import ABDOMENS, AbdomenPopulation
from planewise.phantoms.defect import Defect
from planewise.phantoms.head.head import Head
from planewise.phantoms.head.population import HEADS, HeadPopulation
from planewise.phantoms.heart.defects import DEFECTS
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.nifti_defects import MNMS2_DEFECTS, UKBB_DEFECTS
from planewise.phantoms.heart.population import LABELLED, UNLABELLED, VOLUNTEERS, Population
from planewise.phantoms.knee.defects import KNEE_DEFECTS
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED, KneePopulation
from planewise.phantoms.retina.defects import APTOS_DEFECTS
from planewise.phantoms.retina.population import RETINAS, RetinaPopulation
from planewise.phantoms.retina.retina import Retina
from planewise.phantoms.volume_defects import BRATS_DEFECTS, MSD_DEFECTS


@dataclass(frozen=True)
class Anatomy:
    """The scanned organ."""

    exam: type[Exam] | type[KneeExam] | type[Head] | type[Abdomen] | type[Retina]
    """Class of its exams; ``sample`` samples a whole exam, and ``sample_organ`` only the organ"""
    defects: Mapping[str, Defect]
    """Flaws of a DICOM exam, by name"""


HEART = Anatomy(Exam, DEFECTS)
KNEE = Anatomy(KneeExam, KNEE_DEFECTS)
HEAD = Anatomy(Head, {})
ABDOMEN = Anatomy(Abdomen, {})
RETINA = Anatomy(Retina, {})

#: The union of all populations.
AnyPopulation = Population | KneePopulation | HeadPopulation | AbdomenPopulation | RetinaPopulation


@dataclass(frozen=True)
class Layout:
    """A real data set that phantom exams imitate, with its patients, files and folders."""

    title: str
    """Name of the data set, for people"""
    seed: int
    """Part of every seed, so that exams of different layouts are different people even if a recipe's seed is the same"""
    anatomy: Anatomy
    population: AnyPopulation
    """Default patients and scanners; any other population must be of the same class"""
    writer_name: str
    """Name of the module that writes the layout (see `writer`)"""
    dicom: bool = False
    """Whether its exams are DICOM files, which can have the anatomy's defects"""
    groups: tuple[str, ...] = ()
    """Diagnoses assigned to exams in turn, by exam number; if empty, diagnoses are drawn at random according to the
    population's shares
    """
    listing: bool = False
    """Whether the writer also has ``write_listing(recipe, out)``, which lists the whole tree in a separate file"""
    own_defects: Mapping[str, Defect] = field(default_factory=dict)
    """Flaws of a layout that is not DICOM, by name"""

    @property
    def defects(self) -> Mapping[str, Defect]:
        """The flaws that its exams may have, by name."""
        return self.anatomy.defects if self.dicom else self.own_defects

    @property
    def writer(self) -> ModuleType:
        """The module that writes the layout.

        It must have these functions: ``exam_paths(recipe, number)`` returns the files or folders of an exam,
        ``write_exam(recipe, number, paths)`` writes them, and ``table_rows(recipe, number)`` returns the exam's rows of the
        data set's tables. ``TABLE_HEADER`` is the first row of the tables. If there is a function ``table_end(recipe)``, it
        returns their final rows.
        """
        # imported by name, because writers import `Recipe`, which looks up its layout here
        return import_module(self.writer_name)


#: Maps names to layouts. A new layout needs an entry here and a module in `layouts/`.
LAYOUTS = {
    "dsbcc": Layout("DSBCC", 1, HEART, UNLABELLED, "planewise.phantoms.layouts.dsbcc", dicom=True),
    "acdc": Layout("ACDC", 2, HEART, LABELLED, "planewise.phantoms.layouts.acdc", groups=tuple(GROUPS)),
    "mnms2": Layout(
        "M&Ms-2",
        5,
        HEART,
        LABELLED,
        "planewise.phantoms.layouts.mnms2",
        groups=tuple(GROUPS),
        own_defects=MNMS2_DEFECTS,
    ),
    "ukbb": Layout("UK Biobank", 6, HEART, VOLUNTEERS, "planewise.phantoms.layouts.ukbb", own_defects=UKBB_DEFECTS),
    "fastmri": Layout("fastMRI", 3, KNEE, KNEE_UNLABELLED, "planewise.phantoms.layouts.fastmri", dicom=True),
    "mrnet": Layout("MRNet", 4, KNEE, KNEE_LABELLED, "planewise.phantoms.layouts.mrnet"),
    "brats": Layout("BraTS", 7, HEAD, HEADS, "planewise.phantoms.layouts.brats", own_defects=BRATS_DEFECTS),
    "msd": Layout(
        "the decathlon",
        8,
        ABDOMEN,
        ABDOMENS,
        "planewise.phantoms.layouts.msd",
        listing=True,
        own_defects=MSD_DEFECTS,
    ),
    "aptos": Layout(
        "APTOS", 9, RETINA, RETINAS, "planewise.phantoms.layouts.aptos", listing=True, own_defects=APTOS_DEFECTS
    ),
}
