"""Test that the files of a phantom exam of every layout hold the images, labels, headers and tables that they held before."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from planewise.workshop.phantoms import LAYOUTS, Recipe, write_exams

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
    population = LAYOUTS[layout].population.at_size("demo")
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
