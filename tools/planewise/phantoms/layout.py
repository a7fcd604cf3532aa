"""The layouts of phantom exams, with one record for each layout."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from planewise.phantoms.abdomen.abdomen import Abdomen
from planewise.phantoms.abdomen.population import ABDOMENS, AbdomenPopulation
from planewise.phantoms.head.head import Head
from planewise.phantoms.head.population import HEADS, HeadPopulation
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.population import LABELLED, UNLABELLED, VOLUNTEERS, Population
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.population import KNEE_LABELLED, KNEE_UNLABELLED, KneePopulation
from planewise.phantoms.retina.population import RETINAS, RetinaPopulation
from planewise.phantoms.retina.retina import Retina

#: The union of all populations.
AnyPopulation = Population | KneePopulation | HeadPopulation | AbdomenPopulation | RetinaPopulation


@dataclass(frozen=True)
class Layout:
    """A real data set that phantom exams imitate, with its patients, files and folders."""

    title: str
    """Name of the data set, for people"""
    seed: int
    """Part of every seed, so that exams of different layouts show different people even if the recipes have the same seed"""
    exam: type[Exam] | type[KneeExam] | type[Head] | type[Abdomen] | type[Retina]
    """Class of its exams; ``sample`` samples a whole exam, and ``sample_organ``, which fast ones lack, only the organ"""
    population: AnyPopulation
    """Default patients and scanners; any other population must be of the same class"""
    writer_name: str
    """Name of the module that writes the layout (see `writer`)"""
    groups: tuple[str, ...] = ()
    """Diagnoses assigned to exams in turn, by exam number; if empty, diagnoses are drawn at random according to the
    population's shares
    """

    @property
    def writer(self) -> ModuleType:
        """The module that writes the layout.

        ``exam_paths(recipe, number)`` returns the files or folders of an exam, and ``write_exam(recipe, number, paths)``
        writes them. If the data set has tables, ``table_rows(recipe, number)`` returns the exam's rows by table,
        ``TABLE_HEADER`` is their first row, and ``table_end(recipe)`` returns their final rows. ``write_listing(recipe,
        out)`` lists the whole tree in a separate file. All but the first two may be missing.
        """
        # imported by name, because writers import `Recipe`, which looks up its layout here
        return import_module(self.writer_name)


#: Maps names to layouts. A new layout needs an entry here and a module in `layouts/`.
LAYOUTS = {
    "dsbcc": Layout("DSBCC", 1, Exam, UNLABELLED, "planewise.phantoms.layouts.dsbcc"),
    "acdc": Layout("ACDC", 2, Exam, LABELLED, "planewise.phantoms.layouts.acdc", tuple(GROUPS)),
    "mnms2": Layout("M&Ms-2", 5, Exam, LABELLED, "planewise.phantoms.layouts.mnms2", tuple(GROUPS)),
    "ukbb": Layout("UK Biobank", 6, Exam, VOLUNTEERS, "planewise.phantoms.layouts.ukbb"),
    "fastmri": Layout("fastMRI", 3, KneeExam, KNEE_UNLABELLED, "planewise.phantoms.layouts.fastmri"),
    "mrnet": Layout("MRNet", 4, KneeExam, KNEE_LABELLED, "planewise.phantoms.layouts.mrnet"),
    "brats": Layout("BraTS", 7, Head, HEADS, "planewise.phantoms.layouts.brats"),
    "msd": Layout("the decathlon", 8, Abdomen, ABDOMENS, "planewise.phantoms.layouts.msd"),
    "aptos": Layout("APTOS", 9, Retina, RETINAS, "planewise.phantoms.layouts.aptos"),
}
