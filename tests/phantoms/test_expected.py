"""Test that the files of a phantom exam of every layout hold the images, labels, headers and tables that they held before."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from planewise.phantoms import LAYOUTS, Recipe, write_exams
from planewise.phantoms.heart.study import plan_series as heart_series
from planewise.phantoms.knee.exam import plan_series as knee_series
from planewise.phantoms.painting import Texture

#: Settings that make each layout's exams small.
HEART, VOLUME = {"phases": 3, "spacing": (3.4, 3.6), "field": (270.0, 290.0)}, {"side": 20}
SMALL: dict[str, dict[str, Any]] = {
    "dsbcc": HEART,
    "acdc": HEART,
    "mnms2": HEART,
    "ukbb": HEART,
    "fastmri": {"spacing": (2.2, 2.6)},
    "mrnet": {"matrix": 64},
    "brats": VOLUME,
    "msd": VOLUME,
    "aptos": {"side": 96},
}
#: Number of exams of each layout whose drawn properties are compared; the rarest diagnosis or finding is among them.
DRAWN = {"dsbcc": 8, "acdc": 10, "mnms2": 2, "ukbb": 4, "fastmri": 10, "mrnet": 10, "brats": 6, "msd": 6, "aptos": 12}
HEADER = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "TriggerTime", "Rows", "Columns", "NominalInterval", "CardiacNumberOfImages", "InstanceNumber", "SeriesNumber",
    "EchoTime", "RepetitionTime", "FlipAngle", "WindowCenter", "WindowWidth", "MagneticFieldStrength", "PatientWeight",
    "PatientSize",
)  # fmt: skip


def dicom_series(files: list[Path]) -> dict[str, Any]:
    """The pixels of a series, and the numbers of its first and last header."""
    headers = [pydicom.dcmread(file) for file in files]
    found: dict[str, Any] = {"pixels": np.stack([header.pixel_array for header in headers])}
    for header in (headers[0], headers[-1]):
        values = {key: header[key].value for key in HEADER if header.get(key) is not None}
        plain = {key: [float(part) for part in np.ravel(value)] for key, value in values.items()}
        found[f"header {header.InstanceNumber}"] = {
            key: value if len(value) > 1 else value[0] for key, value in plain.items()
        }
    return found


def one_file(path: Path) -> dict[str, Any]:
    if path.name.endswith(".nii.gz"):
        image = nibabel.load(path)
        data = np.asarray(image.dataobj)
        found: dict[str, Any] = {"data": data, "affine": image.affine[:3]} | {
            "header": {
                "units": int(image.header["xyzt_units"]),
                "zooms": [float(zoom) for zoom in image.header.get_zooms()],
            }
        }
        values, counts = np.unique(data, return_counts=True)
        if len(values) < 10:
            found["labels"] = {str(int(value)): int(count) for value, count in zip(values, counts, strict=True)}
        return found
    if path.suffix == ".npy":
        return {"data": np.load(path)}
    if path.suffix == ".png":
        return {"data": np.asarray(Image.open(path))}
    if path.suffix in (".csv", ".cfg"):
        return {"lines": {"first": dict(enumerate(numbers_of(path.read_text())[:8]))}}
    return {}


def numbers_of(text: str) -> list[float]:
    words = text.replace(",", " ").replace(":", " ").split()
    return [float(word) for word in words if word.replace(".", "", 1).replace("-", "", 1).isdigit()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_exam_has_the_numbers_that_are_stored(layout, tmp_path, assert_numbers):
    population = LAYOUTS[layout].population
    if hasattr(population, "at_size"):
        population = population.at_size("demo")
    recipe = Recipe(layout, seed=9, population=population.with_values(**SMALL[layout]))
    list(write_exams(recipe, tmp_path, 1))
    found: dict[str, Any] = {}
    series = defaultdict(list)
    for path in sorted(tmp_path.rglob("*")):
        if path.suffix == ".dcm":
            series[path.parent].append(path)
        elif path.is_file() and path.name[0] != ".":
            found[str(path.relative_to(tmp_path))] = one_file(path)
    # if each slice has its own series, compare only the first, the middle and the last three
    folders = list(series)
    for folder in folders if len(folders) < 8 else [folders[0], folders[len(folders) // 2], *folders[-3:]]:
        found[str(folder.relative_to(tmp_path))] = dicom_series(series[folder])
    assert any(found.values())
    assert_numbers("phantoms", layout, found)


def properties(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """The numbers and texts inside an exam, each with its place. Texts become numbers; arrays become two means."""
    if isinstance(value, str | bytes):
        yield place, float(zlib.crc32(str(value).encode()) % 997)
    elif isinstance(value, int | float | np.generic) or value is None:
        yield place, -1.0 if value is None else float(value)
    elif isinstance(value, np.ndarray):
        yield f"{place}/mean", float(value.mean())
        yield f"{place}/order", float((value.ravel() * np.cos(np.arange(value.size) % 97)).mean())
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from properties(part, f"{place}/{key}")
    elif isinstance(value, list | tuple):
        yield f"{place}/length", float(len(value))
        for number, part in enumerate(value):
            # stacks and tables are told by both ends and the middle
            if number in (0, len(value) // 2, len(value) - 1):
                yield from properties(
                    part, f"{place}/{['first', 'middle', 'last'][(number > 0) + (number > len(value) // 2)]}"
                )
    elif not isinstance(value, Texture):
        known = {key: part for key, part in vars(value).items() if key[0] != "_" and key not in ("population", "seeds")}
        yield from properties(known, place)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exams_have_the_properties_that_are_stored(layout, assert_numbers):
    """Of several exams, what is drawn before anything is painted; of volumes and photographs also what is painted."""
    population = LAYOUTS[layout].population.with_values(**SMALL[layout] if layout in ("brats", "msd", "aptos") else {})
    recipe = Recipe(layout, seed=9, population=population)
    drawn: dict[str, list[float]] = defaultdict(list)
    for number in range(1, DRAWN[layout] + 1):
        exam = recipe.exam(number)
        found: dict[str, Any] = {"exam": exam, "identity": recipe.identity(number)}
        found["paths"] = [str(path) for path in recipe.form.exam_paths(recipe, number)]
        found["rows"] = recipe.form.table_rows(recipe, number)
        if layout in ("dsbcc", "fastmri"):
            found["series"] = heart_series(exam) if layout == "dsbcc" else knee_series(exam, 0.5, 0.3)
        if hasattr(exam, "photograph"):
            found |= {"photograph": exam.photograph(), "lesions": exam.lesions}
        elif hasattr(exam, "population"):
            found["images"], found["mask"] = exam.scan()
        for place, value in properties(found):
            drawn[place].append(value)
    assert_numbers("phantoms", f"{layout} draws", {place: np.array(values) for place, values in drawn.items()})
