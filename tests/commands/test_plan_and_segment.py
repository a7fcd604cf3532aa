"""Test `planewise plan` and `planewise segment` on a phantom's DICOM files and on a volume."""

import csv
import gzip
import json
import os
import re
import shutil
import subprocess

import highdicom
import nibabel
import numpy as np
import planewise
import pydicom
import pytest
from planewise.commands import app
from planewise.files.masks import is_predicted
from planewise.findings import finding
from planewise.own_exams.bundles import PLANS, SEGMENTS
from planewise.preprocessing.exam_name import exam_of
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from tests.bundles.conftest import datalist_for, phantoms, run_bundle, train  # noqa: F401  (a fixture)
from tests.exams.conftest import write_usual_exam
from tests.exams.test_dicom_segmentation import points_of


def run(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def exam(phantoms):  # noqa: F811
    """A folder with the DICOM files of one exam, of two phases."""
    return sorted(phantoms.cardiac.dicom.rglob("study"))[0].parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory, phantoms):  # noqa: F811
    """A very short training of both bundles."""
    folder = tmp_path_factory.mktemp("runs")
    short = {"max_epochs": 1, "samples_per_epoch": 32, "cache_dir": folder / "cache"}
    for name in (PLANS, SEGMENTS):
        train(name, datalist_for(name, phantoms), folder / name, **short)
    return folder


@pytest.fixture
def no_processes(monkeypatch):
    """Start no processes, so that a command's imports are done only once."""

    def refuse(*arguments, **_):
        raise OSError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse)


@pytest.mark.usefixtures("no_processes")
def test_plan(exam, runs, tmp_path):
    outcome = run("plan", exam, "-o", tmp_path, "--weights", runs / PLANS)
    assert outcome.exit_code == 0, outcome.output
    (page,) = tmp_path.glob("*/index.html")
    written = {file.name.removeprefix(page.parent.name) for file in page.parent.iterdir()}
    assert written >= {"plan.json", "planes.mrk.json", "_lines.nii.gz", "_mask.nii.gz", "index.html"}
    plan = json.loads((page.parent / "plan.json").read_text())
    assert f"Exam {page.parent.name}, {plan['slices']} slices, 2 phases" in outcome.output and plan["phases"] == 2
    assert {view["phases"] + len(view["phases_without_a_plane"]) for view in plan["views"].values()} <= {1, 2}
    for view, entry in plan["views"].items():
        assert f"  {view}: verdict {entry['verdict']}" in outcome.output
        assert f"exam {page.parent.name}, {view}" not in outcome.output, "each view is reported only once"
    text = page.read_text()
    report = highdicom.sr.srread(page.parent / "plan.sr.dcm")
    groups = [*report.content.get_planar_roi_measurement_groups(), *report.content.get_image_measurement_groups()]
    names = [group.tracking_identifier for group in groups]
    assert [name.split(",")[0] for name in names] == list(plan["views"])
    for name in ("image", "lines", "heatmaps", "mask"):
        volume = nibabel.load(page.parent / f"{page.parent.name}_{name}.nii.gz")
        assert volume.header.get_xyzt_units()[0] == "mm", name
        assert np.allclose(volume.affine, nibabel.load(page.parent / f"{page.parent.name}_lines.nii.gz").affine)
    # an index takes neither as a label
    assert all(is_predicted(page.parent / f"{page.parent.name}_{name}.nii.gz") for name in ("lines", "mask"))
    assert str(exam.parent) not in text, "the page contains no path"
    assert str(page) in outcome.output.replace("\n", "")


@pytest.mark.usefixtures("no_processes")
def test_segment_measures_every_phase(exam, tmp_path):
    outcome = run("segment", exam, "-o", tmp_path)  # with the weights that ship
    assert outcome.exit_code == 0, outcome.output
    (page,) = tmp_path.glob("*/index.html")
    name = page.parent.name
    found = json.loads((page.parent / "volumes.json").read_text())
    assert found["phases"] == [f"{name}_phase00", f"{name}_phase50"]
    with open(page.parent / "volumes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, phase in enumerate(found["phases"]):
        mask = nibabel.load(tmp_path / "masks" / phase / f"{phase}_mask.nii.gz")
        ml = (np.asarray(mask.dataobj) == 3).sum() * np.prod(mask.header.get_zooms()[:3]) / 1000
        assert found["volumes_ml"]["LV"][number] == pytest.approx(ml, rel=1e-4)
        assert float(rows[number]["LV_ml"]) == pytest.approx(ml, rel=1e-4)
    assert f"Exam {name}, 2 phases" in outcome.output and "ejection fraction" in outcome.output
    patient = pydicom.dcmread(next(exam.rglob("*.dcm")))
    # the terminal lists every file in the exam's folder
    assert all(file.name in outcome.output for file in page.parent.iterdir())
    for phase in found["phases"]:
        volume, mask = (
            nibabel.load(tmp_path / "masks" / phase / f"{phase}_{kind}.nii.gz") for kind in ("image", "mask")
        )
        assert volume.shape == mask.shape and np.allclose(volume.affine, mask.affine)
        assert {entry.header.get_xyzt_units()[0] for entry in (volume, mask)} == {"mm"}
        assert (tmp_path / "masks" / phase / f"{phase}.seg.nrrd").is_file()
        segmentation = highdicom.seg.segread(page.parent / f"{phase.removeprefix(f'{name}_')}.seg.dcm")
        assert segmentation.PatientName == patient.PatientName
        for value in (1, 2, 3):
            wanted = np.argwhere(np.asarray(mask.dataobj) == value) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
            there = points_of(segmentation, value)
            assert len(there) == len(wanted) > 100
            assert cKDTree(there).query(wanted)[0].max() < 0.05, "mm"
    assert outcome.output.count("--anonymous leaves the patient out") == 1


@pytest.mark.parametrize("command", ["segment"])
def test_of_an_archive_each_exam_gets_what_all_get_at_once(command, phantoms, runs, tmp_path):  # noqa: F811
    """Exams are processed one at a time, so that a broken one affects only itself; a second start has nothing left to do."""
    exams = [study.parent for study in sorted(phantoms.cardiac.dicom.rglob("study"))[:2]]
    for number, folder in enumerate(exams):
        shutil.copytree(folder, tmp_path / "in" / f"Doe_{number}")
    (tmp_path / "in/notes.txt").write_text("no image")
    for file in (tmp_path / "in/Doe_1").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        del dataset.StudyInstanceUID
        dataset.save_as(file)
    weights = {"weights": runs / (PLANS if command == "plan" else SEGMENTS)}
    together = getattr(planewise, command)(tmp_path / "in", tmp_path / "together", **weights)
    assert len(together) == 2
    options = [word for key, value in weights.items() for word in (f"--{key}", value)]
    outcome = run(command, tmp_path / "in", "-o", tmp_path / "out", *options)
    assert outcome.exit_code == 0, outcome.output
    assert "2 exams found" in outcome.output and "2 exams finished" in outcome.output and "Doe" not in outcome.output
    assert outcome.output.count("--anonymous leaves the patient out") == 1
    numbers = "plan.json" if command == "plan" else "volumes.json"
    for made in together:
        assert f"exam {made.name}: " in outcome.output
        for name in (numbers, *(["volumes.csv"] if command == "segment" else [])):
            one_by_one, at_once = (tmp_path / folder / made.name / name for folder in ("out", "together"))
            assert one_by_one.read_text() == at_once.read_text()
        for file in made.files:
            assert (tmp_path / "out" / file.relative_to(tmp_path / "together")).is_file()
    with open(tmp_path / "out/exams.csv", newline="") as file:
        remarks = {row["exam"]: row["remarks"] for row in csv.DictReader(file)}
    assert remarks.keys() == {made.name for made in together}
    (without,) = [exam for exam, said in remarks.items() if "StudyInstanceUID" in said]
    content = json.loads((tmp_path / "out" / without / numbers).read_text())
    findings = content["findings" if command == "plan" else "remarks"]
    assert [found["code"] for found in findings if "StudyInstanceUID" in str(found)] == ["no-dicom"]
    assert "StudyInstanceUID" in (tmp_path / "out" / without / "index.html").read_text()
    pages = {page: page.stat().st_mtime_ns for page in (tmp_path / "out").glob("*/index.html")}
    assert len(pages) == 2
    outcome = run(command, tmp_path / "in", "-o", tmp_path / "out", *options)
    assert outcome.exit_code == 0 and "2 of 2 exams are finished and unchanged" in outcome.output
    assert {page: page.stat().st_mtime_ns for page in pages} == pages


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize("command", ["plan", "segment"])
def test_dicom_files_without_the_patient(command, runs, tmp_path):
    exam = write_usual_exam(tmp_path / "exam", phases=5, size=(64, 60), spacing=4.0)
    weights = ("--weights", runs / (PLANS if command == "plan" else SEGMENTS))
    outcome = run(command, exam, "-o", tmp_path / "out", *weights, "--anonymous")
    assert outcome.exit_code == 0, outcome.output
    files = list((tmp_path / "out").rglob("*"))
    assert [file for file in files if file.name.endswith(".sr.dcm")]
    for file in files:
        if file.is_file():
            # not in the middle of a word, because the page contains megabytes of base64
            assert not re.search(rb"\bJane", file.read_bytes()), file
    assert "Jane" not in outcome.output and "leaves the patient out" not in outcome.output


@pytest.mark.parametrize("command", ["plan", "segment"])
@pytest.mark.parametrize("phases", [1, 2])
def test_a_files_name_stays_out_of_what_is_made_of_it(command, phases, runs, tmp_path):
    """For one volume and for several in a folder: no path, no written file and no line on the terminal contains the
    file's name, unless it is requested.
    """
    hearts = tmp_path / "in"
    hearts.mkdir()
    noise = np.random.default_rng(0).normal(size=(40, 40, 4)).astype(np.float32)
    for phase in range(phases):
        nibabel.save(nibabel.Nifti1Image(noise, np.diag([2.0, 2.0, 10.0, 1.0])), hearts / f"Doe_Jane{phase}.nii.gz")
    given = hearts if phases > 1 else hearts / "Doe_Jane0.nii.gz"
    # noise has no orientation
    weights = ("--weights", runs / (PLANS if command == "plan" else SEGMENTS), "--min_obliquity", 0)
    outcome = run(command, given, "-o", tmp_path / "out", *weights)
    assert outcome.exit_code == 0, outcome.output
    pages = list((tmp_path / "out").glob("*/index.html"))
    assert {page.parent.name for page in pages} == {exam_of({"image": str(file)}) for file in hearts.iterdir()}
    assert len(pages) == phases and "Jane" not in outcome.output
    for file in (tmp_path / "out").rglob("*"):
        assert "Jane" not in str(file)
        if file.name == "exams_folders.csv":  # this file maps hashes to exams
            assert file.stat().st_mode & 0o777 == 0o600 and "Jane" in file.read_text()
        elif file.is_file():
            content = file.read_bytes()
            assert b"Doe_Jane" not in (gzip.decompress(content) if file.suffix == ".gz" else content), file


@pytest.mark.parametrize("command", ["plan", "segment"])
def test_what_is_no_short_axis_is_refused(command, real_data, tmp_path):
    """A phantom of water, scanned straight axial, as DICOM."""
    outcome = run(command, real_data / "phantom_philips", "-o", tmp_path / "out")
    assert outcome.exit_code == 1 and not (tmp_path / "out").exists()
    assert f"planewise {command}: no stack here can be the short axis of a heart; name the folder" in outcome.output
    assert str(finding("not-recognised", least=5, kind="few-phases")) in outcome.output
    assert "--min_obliquity 0" in outcome.output
