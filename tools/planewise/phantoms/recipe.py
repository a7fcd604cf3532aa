"""What a tree of phantom exams is made of, so that it can be made again, and extended."""

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
    """Everything that decides what is written, apart from how many exams."""

    layout: str = "dsbcc"
    """A name out of `LAYOUTS`"""
    seed: int = 0
    population: AnyPopulation = UNLABELLED
    """Of the class that the layout's own population has"""
    defects: tuple[str, ...] = ()
    """Names out of the layout's defects; they are applied in this order"""
    extra_views: float = 0.0
    """Share of heart exams that carry further series, some of them under a wrong name"""
    patient_name: str = ""
    """Name for every header, to test that no output repeats it; the exam's number unless given"""
    birth_date: str = ""
    """YYYYMMDD"""

    def __post_init__(self) -> None:
        wanted = type(self.form.population)
        if not isinstance(self.population, wanted):
            raise TypeError(
                f"layout {self.layout!r} holds exams of a {wanted.__name__}, got a {type(self.population).__name__}"
            )

    @property
    def form(self) -> Layout:
        """The layout that the recipe names."""
        return LAYOUTS[self.layout]

    def exam(self, number: int) -> Exam | KneeExam | Head | Abdomen | Retina:
        """Exam ``number``, from 1: the same whatever else is made.

        Where the layout names diagnoses, exams have them in turn, so that any number of exams is balanced.
        """
        return self.form.anatomy.exam.sample(*self._draw(number))

    def organ(self, number: int) -> Heart | Knee | Head | Abdomen | Retina:
        """Only what is scanned in an exam, which is quick: a heart, a knee with its findings, a head with its grade."""
        return self.form.anatomy.exam.sample_organ(*self._draw(number))

    def identity(self, number: int) -> Identity:
        """Who the headers of an exam say the patient is."""
        return Identity(self.patient_name or str(number), f"{self.seed}-{number}", self.birth_date)

    def _draw(self, number: int) -> tuple[object, ...]:
        """What an exam is sampled by: seeds, population, and the diagnosis where the layout gives one."""
        groups = self.form.groups
        given = (groups[(number - 1) % len(groups)],) if groups else ()
        return (self.seed, self.form.seed, number), self.population, *given

    def fingerprint(self) -> str:
        """Short hash of the recipe: the same recipe writes the same exams. Tells nothing of the planted identity."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
