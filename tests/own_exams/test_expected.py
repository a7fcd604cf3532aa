"""Compare the numbers that `planewise plan` and `segment` write with stored ones; fixed predictions replace the networks."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from planewise.commands import app
from planewise.exams import find_inputs
from planewise.own_exams.heart_bundles import PLANS, load_stack
from planewise.preprocessing.exam_name import volume_name
from typer.testing import CliRunner

from tests.exams.conftest import write_usual_exam
from tests.own_exams.test_segment_datalist import bundle, exams, heart  # noqa: F401  (fixtures)

FAINT, FLAT = "peak 0.42, but must be at least 0.5", "the slices lie 0.0 deg from axial"
#: Maps each exam's folder to the angles and distances of the planned planes of 2ch and 4ch from the acquired ones
#: (degrees, mm), and to their error bounds; None for a view without a plane.
PLANNED = {
    "a": {"2ch": (2.0, 1.5, 5.5, 1.75), "4ch": (8.0, 4.0, 6.0, 3.5)},
    "b": {"2ch": (40.0, 9.0, 5.0, 2.0), "4ch": None},
    "c": {"2ch": None, "4ch": None},
}
NUMBER = re.compile(r"-?\d+(\.\d+)?")
#: Maps each exam's folder to the radii of the left ventricle in its three phases, pixels.
RADII = {"a": (6.0, 4.0, 5.0), "b": (7.0, 6.9, 7.1), "c": (1.0, 0.6, 0.0)}


@pytest.fixture
def hearts(own_caches, any_weights, tmp_path, monkeypatch) -> Path:
    """Three exams of three phases, and predictions in place of the two bundles'."""
    (tmp_path / "salt").write_text("salt of these phantoms")
    for number, name in enumerate("abc", start=1):
        uids = {"StudyInstanceUID": f"1.2.{number}", "FrameOfReferenceUID": f"1.3.{number}", "PatientID": f"P-{number}"}
        size = {"PatientSize": "1.75", "PatientWeight": "70"} if name == "a" else {}
        views = ("4ch", "2ch") if name != "c" else ("4ch",)
        write_usual_exam(tmp_path / "in" / name, views, 5, phases=3, size=(40, 36), spacing=4.0, **uids, **size)
    for file in (tmp_path / "in").rglob("*.dcm"):
        image = pydicom.dcmread(file)
        image.PixelData = np.roll(image.pixel_array, image.SeriesNumber).tobytes()  # no two slices are equal
        image.save_as(file)
    for module in ("plan_exams", "segment_exams"):
        monkeypatch.setattr(sys.modules[f"planewise.own_exams.{module}"], "run_inference", _predicted)
    (tmp_path / "weights.pt").write_bytes(b"weights that are never read")
    return tmp_path / "in"


def _predicted(folder_of_bundle, settings) -> dict:
    items = find_inputs(settings["input"], settings.get("phases") or "ed")
    for place, item in enumerate(items):
        folder = settings["output_dir"] / volume_name(item)
        folder.mkdir(parents=True, exist_ok=True)
        stack = load_stack(item)
        slices = item["image"]
        exam = re.search(r"/in/(\w)/", slices[0]["image"])[1]
        if folder_of_bundle.name == PLANS:
            views = {view: _view(stack, PLANNED[exam][view], view) for view in ("2ch", "4ch")}
            plan = {"slices": len(slices), "bounds_measured_on": "9 phantom exams", "views": views}
            if others := (settings.get("phase_plans") or {}).get(item["exam"]):
                plan["phases"] = 1 + len(others)
                for view in views.values():
                    view |= {"phases": 1, "phases_without_a_plane": list(others), "phases_that_disagree": ["phase33"]}
            plan["locations"] = np.linspace(0, 1, len(slices)).tolist()
            (folder / "plan.json").write_text(json.dumps(plan))
        else:
            phase = place % 3
            mask = _mask(stack.image.shape, RADII[exam][phase])
            file = folder / f"{folder.name}_mask.nii.gz"
            nibabel.save(nibabel.Nifti1Image(mask, np.asarray(stack.image.affine)), file)
    return {}


def _view(stack, planned, view: str) -> dict:
    nothing = dict.fromkeys(
        ("origin", "normal", "agreement", "slices_that_disagree", "slices_without_a_line", "within_deg", "within_mm")
    )
    if planned is None:
        return {"verdict": "no plane", "reasons": [FLAT, FAINT] if view == "2ch" else [FLAT], **nothing}
    angle, offset, *bounds = planned
    acquired = stack.acquired[view]
    normal = np.array(acquired["normal"])
    across = np.cross(normal, [0.0, 0.0, 1.0])
    turned = np.cos(np.radians(angle)) * normal + np.sin(np.radians(angle)) * across / np.linalg.norm(across)
    return {
        "verdict": "plane",
        "reasons": [],
        "origin": (np.array(acquired["origin"]) + offset * normal).tolist(),
        "normal": turned.tolist(),
        "agreement": 0.875,
        "slices_that_disagree": [2, 4],
        "slices_without_a_line": [5],
        "within_deg": bounds[0],
        "within_mm": bounds[1],
    }


def _mask(shape, radius: float) -> np.ndarray:
    """A left ventricle, its muscle and next to it a right ventricle."""
    i, j, k = np.indices(shape)
    mask = np.zeros(shape, dtype="u1")
    mask[(np.hypot(i - 12, j - 17) < 0.9 * radius + 1) & (k > 0) & (radius > 0)] = 1
    mask[np.hypot(i - 22, j - 17) < radius + 2 * (radius > 0)] = 2
    mask[np.hypot(i - 22, j - 17) < radius] = 3
    return mask


def made(command: str, hearts: Path, tmp_path: Path, *options) -> dict[str, Any]:
    """The numbers in the files that the command writes, by path."""
    out = tmp_path / "out"
    words = [command, hearts, "-o", out, "--weights", tmp_path / "weights.pt", *options]
    words += ["--heart", tmp_path / "weights.pt"] if command == "plan" else []
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    found = {str(file.relative_to(out)): _content(file) for file in sorted(out.rglob("*")) if file.is_file()}
    return {name: content for name, content in found.items() if content is not None}


def _content(file: Path) -> Any:
    if file.suffix == ".csv" and not file.name.endswith("_folders.csv"):
        rows = csv.DictReader(file.read_text().splitlines())
        return [{key: float(cell) for key, cell in row.items() if NUMBER.fullmatch(cell)} for row in rows]
    if file.suffix == ".json" and file.name != "plan.json":  # that is a prediction
        return json.loads(file.read_text())
    if file.name.endswith("_mask.nii.gz"):
        volume = nibabel.load(file)
        return {"affine": volume.affine[:3], "labels": np.bincount(np.asarray(volume.dataobj).ravel()).tolist()}
    if file.name.endswith(".seg.dcm"):
        segmentation = pydicom.dcmread(file)
        return {"pixels": segmentation.pixel_array.sum(axis=(1, 2)).tolist()}
    if file.name.endswith(".sr.dcm"):
        return [float(item.MeasuredValueSequence[0].NumericValue) for item in _measured(pydicom.dcmread(file))]
    return None


def _measured(item: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The numbers in a structured report."""
    entries = item.get("ContentSequence", ())
    return [each for entry in entries for each in ([entry] if entry.ValueType == "NUM" else _measured(entry))]


@pytest.mark.parametrize("command", ["plan", "segment"])
def test_an_archive(command, hearts, tmp_path, assert_numbers):
    options = [] if command == "segment" else ["--phases", "ed"]
    assert_numbers("own_exams", f"{command} archive", made(command, hearts, tmp_path, *options, "--no-dicom"))


@pytest.mark.parametrize("command", ["plan", "segment"])
def test_an_exam(command, hearts, tmp_path, assert_numbers):
    assert_numbers("own_exams", f"{command} exam", made(command, hearts / "a", tmp_path))


def test_a_datalist(own_caches, exams, bundle, tmp_path, assert_numbers):  # noqa: F811
    (tmp_path / "weights.pt").write_bytes(b"some weights")
    bundle.masks["bbbb_ES"] = heart(0)
    words = ["segment", exams, "-o", tmp_path / "out", "--weights", tmp_path / "weights.pt"]
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    assert_numbers("own_exams", "segment datalist", json.loads((tmp_path / "out/datalist.json").read_text()))
