"""Exams in the form of UK Biobank pipelines: a folder for each participant, and a NIfTI cine for each view.

The names come from the public pipeline of W. Bai and colleagues (baiwenjia/ukbb_cardiac): ``sa``, ``la_2ch`` and
``la_4ch`` are cines, ``sa_ED`` and ``la_4ch_ES`` are their frames, and ``label_sa_ED`` and ``label_la_4ch_ES`` are
manual masks. The labels are the five structures of Bai 2019, section 3: 1 left ventricle, 2 myocardium, 3 right
ventricle, and, only in 4ch, 4 left atrium and 5 right atrium.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from planewise.phantoms.heart.heart import ATRIA, LABELS
from planewise.phantoms.heart.volumes import view_files
from planewise.phantoms.recipe import Recipe

#: Map our labels to the labels of the data set, in the short axis and in 4ch.
CODES = {LABELS["lv"]: 1, LABELS["myocardium"]: 2, LABELS["rv"]: 3}
ALL_CODES = CODES | {ATRIA["la"]: 4, ATRIA["ra"]: 5}

#: Each view's name and label codes; a view without codes gets no labels.
_VIEWS = {"sax": ("sa", CODES), "2ch": ("la_2ch", None), "4ch": ("la_4ch", ALL_CODES)}


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one. Its name has seven digits, like that of a
    participant."""
    return [PurePosixPath(f"{1_000_000 + number}")]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    exam = recipe.exam(number)
    for view, (name, codes) in _VIEWS.items():
        codes = codes if recipe.population.masks else None
        for file in view_files(exam, view, codes, name, f"{name}_{{0}}", f"label_{name}_{{0}}"):
            file.write(paths[0])
