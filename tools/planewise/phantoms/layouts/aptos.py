"""Retinas in the layout of APTOS 2019: training photographs with a table of grades, and test photographs without grades."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from PIL import Image

from planewise.atomic_write import atomic_write
from planewise.phantoms.recipe import Recipe

TABLE = "train.csv"

#: First row of the table.
TABLE_HEADER = ("id_code", "diagnosis")

#: Every third photograph has no grade, similar to 1928 of 5590 in the real set.
TESTED = 3


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The photograph under the root of the set, as a list of one."""
    return [PurePosixPath("test_images" if number % TESTED == 0 else "train_images") / f"{_name(number)}.png"]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write a photograph to ``paths``, which have the order of `exam_paths`."""
    Image.fromarray(recipe.exam(number).photograph()).save(paths[0], "PNG", compress_level=1)


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """A photograph's row of ``train.csv``."""
    return {} if number % TESTED == 0 else {TABLE: (_name(number), recipe.organ(number).grade)}


def write_listing(recipe: Recipe, out: Path) -> None:
    """Write ``test.csv``, which names the photographs without grades."""
    names = sorted(path.stem for path in (out / "test_images").glob("[!.]*.png"))
    with atomic_write(out / "test.csv") as part:
        part.write_text("".join(f"{name}\n" for name in ("id_code", *names)))


def _name(number: int) -> str:
    """A name of twelve decimal digits, which is as long as the hexadecimal names of the real set."""
    return f"{number:012d}"
