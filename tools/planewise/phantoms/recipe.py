"""The recipe of a folder of phantom exams: everything needed to make the folder again or to extend it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from planewise.phantoms.abdomen.abdomen import Abdomen
from planewise.phantoms.head.head import Head
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.population import UNLABELLED
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.layout import LAYOUTS, AnyPopulation, Layout
from planewise.phantoms.retina.retina import Retina
from planewise.phantoms.scanner.dicom import Identity


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the files, except the number of exams."""

    layout: str = "dsbcc"
    """A key of `LAYOUTS`"""
    seed: int = 0
    population: AnyPopulation = UNLABELLED
    """A population of the same class as the layout's own population"""
    extra_views: float = 0.0
    """Share of heart exams that have additional series, some of them with wrong names"""
    patient_name: str = ""
    """Patient's name in all headers, to test that it appears in no output; by default, the exam's number"""
    birth_date: str = ""
    """YYYYMMDD"""

    def __post_init__(self) -> None:
        wanted = type(self.form.population)
        if not isinstance(self.population, wanted):
            raise TypeError(
                f"layout {self.layout!r} needs a population of class {wanted.__name__}, got "
                f"{type(self.population).__name__}"
            )

    @property
    def form(self) -> Layout:
        """The layout that the recipe names."""
        return LAYOUTS[self.layout]

    def exam(self, number: int) -> Exam | KneeExam | Head | Abdomen | Retina:
        """Exam ``number``, counted from 1; it does not depend on the other exams.

        If the layout names diagnoses, exams get them in turn, so that any number of exams is balanced.
        """
        return self.form.exam.sample(*self._draw(number))

    def organ(self, number: int) -> Heart | Knee | Head | Abdomen | Retina:
        """Sample only the organ of an exam, such as a heart, a knee with its findings, or a head with its grade. This is
        fast."""
        kind = self.form.exam
        return getattr(kind, "sample_organ", kind.sample)(*self._draw(number))

    def identity(self, number: int) -> Identity:
        """The patient's identity in an exam's headers."""
        return Identity(self.patient_name or str(number), f"{self.seed}-{number}", self.birth_date)

    def _draw(self, number: int) -> tuple[object, ...]:
        """The sampling arguments of an exam: seeds, population, and the diagnosis if the layout gives one."""
        groups = self.form.groups
        given = (groups[(number - 1) % len(groups)],) if groups else ()
        return (self.seed, self.form.seed, number), self.population, *given

    def fingerprint(self) -> str:
        """Short hash of the recipe. The same recipe writes the same exams. The hash does not reveal the patient's name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
