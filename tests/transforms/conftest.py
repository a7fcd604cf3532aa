"""Files to load: a phantom exam's DICOM (always there) and the real exam's (where it is)."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from planewise.phantoms import UNLABELLED, Recipe, write_exams


@pytest.fixture(scope="session")
def phantom_exam(tmp_path_factory) -> dict[str, list[Path]]:
    """One phantom exam: view to its files, first phase first; ``sax`` holds one file per slice, in no order."""
    folder = tmp_path_factory.mktemp("phantom")
    population = UNLABELLED.at_size("demo").with_values(phases=2)
    list(write_exams(Recipe("dsbcc", seed=5, population=population), folder, 1))
    views: dict[str, list[Path]] = {"sax": [], "2ch": [], "4ch": []}
    for series in sorted(folder.glob("train/train/*/study/*")):
        files = sorted(series.glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))
        view = series.name.split("_")[0]
        views[view] += files[:1] if view == "sax" else files
    return views


@pytest.fixture(scope="session")
def real_exam(real_data) -> dict[str, list[Path]]:
    """The real exam's views: `sax` base to apex, and the long axes, a file each of the first phase."""
    folder = real_data / "cardiac_cine_exam" / "dicom"

    def first(series: str) -> Path:
        return min((folder / series).glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))

    sax = [first(series) for series in ("Se11", "Se1", "Se2", "Se3", "Se4", "Se5")]
    return {"sax": sax, "4ch": [first("Se6")], "3ch": [first("Se7")], "2ch": [first("Se8")], "rv": [first("Se9")]}


@pytest.fixture(params=["phantom_exam", "real_exam"])
def exam(request) -> dict[str, list[Path]]:
    """Either exam."""
    return request.getfixturevalue(request.param)
