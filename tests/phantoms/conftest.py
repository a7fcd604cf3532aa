"""Small phantom exams that several tests share."""

from __future__ import annotations

import pytest
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from planewise.workshop.phantoms.heart.exam import Exam
from planewise.workshop.phantoms.heart.population import Population


@pytest.fixture(scope="session")
def population() -> Population:
    """Coarser than demo size, with three phases (the second is end-systole)."""
    return UNLABELLED.at_size("demo").with_values(phases=3, spacing=(3.4, 3.6), field=(270.0, 290.0))


@pytest.fixture(scope="session")
def recipe(population) -> Recipe:
    return Recipe("dsbcc", seed=3, population=population)


@pytest.fixture(scope="session")
def exam(recipe) -> Exam:
    """Exam 1 of the recipe: the true anatomy in the files of `dsbcc_tree`."""
    return recipe.exam(1)


@pytest.fixture(scope="session")
def dsbcc_tree(recipe, tmp_path_factory):
    """Root of a tree with exams 1 and 2 of the recipe."""
    root = tmp_path_factory.mktemp("dsbcc")
    assert [new for _, new in write_exams(recipe, root, 2)] == [True, True]
    return root
