"""What a tree of phantom exams is made of, so that it can be made again and gone on with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.population import UNLABELLED, Population
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.knee.population import KneePopulation

#: Stands in every seed, so that the exams of two layouts made with one seed are different people.
LAYOUTS = {"dsbcc": 1, "acdc": 2, "fastmri": 3, "mrnet": 4}

#: Layouts of knees; the others are of hearts.
KNEES = ("fastmri", "mrnet")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is written, apart from how many exams."""

    layout: str = "dsbcc"
    seed: int = 0
    population: Population | KneePopulation = UNLABELLED
    """Of hearts or knees, as the layout is"""
    defects: tuple[str, ...] = ()
    """Names out of `DEFECTS` or `KNEE_DEFECTS`; they are applied in this order"""
    extra_views: float = 0.0
    """Share of heart exams that carry further series, some of them under a wrong name"""
    patient_name: str = ""
    """Name for every header, to test that it goes nowhere; the exam's number unless given"""
    birth_date: str = ""
    """YYYYMMDD"""

    def __post_init__(self) -> None:
        wanted = KneePopulation if self.layout in KNEES else Population
        if not isinstance(self.population, wanted):
            raise TypeError(
                f"layout {self.layout!r} holds exams of a {wanted.__name__}, got a {type(self.population).__name__}"
            )

    def exam(self, number: int) -> Exam | KneeExam:
        """Exam ``number``, from 1: the same whatever else is made.

        In ACDC's layout the groups follow each other (number modulo five), so that any number of exams is balanced.
        """
        if self.layout in KNEES:
            return KneeExam.sample(self._seeds(number), self.population)
        return Exam.sample(self._seeds(number), self.population, self._group(number))

    def heart(self, number: int) -> Heart:
        """Only the heart of an exam, which is quick."""
        return Exam.sample_heart(self._seeds(number), self.population, self._group(number))

    def knee(self, number: int) -> Knee:
        """Only the knee of an exam, with its findings, which is quick."""
        return KneeExam.sample_knee(self._seeds(number), self.population)

    def _seeds(self, number: int) -> tuple[int, ...]:
        return self.seed, LAYOUTS[self.layout], number

    def _group(self, number: int) -> str | None:
        return list(GROUPS)[(number - 1) % len(GROUPS)] if self.layout == "acdc" else None

    def fingerprint(self) -> str:
        """Short hash of the recipe: the same recipe writes the same exams. Tells nothing of the planted identity."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
