"""Test `planewise plan` and `planewise segment` on a phantom's DICOM files and on a volume."""

import csv
import dataclasses
import gzip
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import highdicom
import nibabel
import numpy as np
import planewise
import pydicom
import pytest
import yaml
from planewise.commands import app
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.files.masks import is_predicted
from planewise.findings import finding
from planewise.own_exams import heart_stacks
from planewise.own_exams.bundles import PLANS, SEGMENTS
from planewise.preprocessing.exam_name import exam_of, volume_name
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from tests.bundles.conftest import datalist_for, phantoms, run_bundle, train  # noqa: F401  (a fixture)
from tests.conftest import ROOT
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
    assert written >= {"plan.json", "planes.mrk.json", "plan.png", "_lines.nii.gz", "_mask.nii.gz", "index.html"}
    plan = json.loads((page.parent / "plan.json").read_text())
    assert f"Exam {page.parent.name}, {plan['slices']} slices, 2 phases" in outcome.output and plan["phases"] == 2
    assert {view["phases"] + len(view["phases_without_a_plane"]) for view in plan["views"].values()} <= {1, 2}
    for view, entry in plan["views"].items():
        assert f"  {view}: verdict {entry['verdict']}" in outcome.output
        assert f"exam {page.parent.name}, {view}" not in outcome.output, "each view is reported only once"
    text = page.read_text()
    report = highdicom.sr.srread(page.parent / "plan.sr.dcm")
    groups = [*report.content.get_planar_roi_measurement_groups(), *report.content.get_image_measurement_groups()]
    names = [group.tracking_identifier for group in groups if ", slice " not in group.tracking_identifier]
    assert [name.split(",")[0] for name in names] == list(plan["views"])
    for name in ("image", "lines", "heatmaps", "mask"):
        volume = nibabel.load(page.parent / f"{page.parent.name}_{name}.nii.gz")
        assert volume.header.get_xyzt_units()[0] == "mm", name
        assert np.allclose(volume.affine, nibabel.load(page.parent / f"{page.parent.name}_lines.nii.gz").affine)
    # an index takes neither as a label
    assert all(is_predicted(page.parent / f"{page.parent.name}_{name}.nii.gz") for name in ("lines", "mask"))
    assert "<figcaption>2ch acquired" in text and "<figcaption>4ch acquired" in text, (
        "the page has pictures of the acquired views"
    )
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
    text = page.read_text()
    assert text.count("<figure>") == 2, "pictures of the acquired 2ch and 4ch views, with outlines"
    assert '"phase00, end-' in text and '"phase50, end-' in text, "the page has a cine"
    patient = pydicom.dcmread(next(exam.rglob("*.dcm")))
    surface = math.sqrt(100 * patient.PatientSize * patient.PatientWeight / 3600)
    assert f"per m2 of body surface ({surface:.2f} m2, Mosteller" in outcome.output
    assert found["body_surface_m2"] == pytest.approx(surface)
    first = rows[0]
    assert float(first["LV_ml_per_m2"]) == pytest.approx(float(first["LV_ml"]) / surface, rel=1e-4)
    # the terminal lists every file in the exam's folder
    assert all(file.name in outcome.output for file in page.parent.iterdir())
    pictures = sorted(file.parent.name for file in (tmp_path / "masks").glob("*/segmentation.png"))
    assert pictures == found["phases"], "end-diastole and end-systole"
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


@pytest.mark.parametrize("command", ["plan", "segment"])
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
    assert "; 1 without DICOM files" in outcome.output
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


@pytest.mark.usefixtures("any_weights")
def test_a_volume_of_one_phase_has_no_ejection_fraction(tmp_path, monkeypatch):
    labels = np.zeros((20, 20, 3), dtype=np.uint8)
    labels[5:15, 5:15, 1], labels[7:13, 7:13, 1] = 2, 3
    affine = np.diag([2.0, 2.0, 10.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.int16) * 100, affine), tmp_path / "heart.nii.gz")
    name = exam_of({"image": str(tmp_path / "heart.nii.gz")})

    def segmented(_, settings):
        assert settings["phases"] == "all" and settings["weights"] == tmp_path / "heart.nii.gz"
        folder = settings["output_dir"] / name
        folder.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / f"{name}_mask.nii.gz")
        return {}

    # get the module, because the package has a function of the same name
    monkeypatch.setattr(sys.modules["planewise.own_exams.segment_exams"], "run_inference", segmented)
    # any file will do for weights that are never read
    heart = tmp_path / "heart.nii.gz"
    outcome = run("segment", heart, "-o", tmp_path / "out", "--weights", heart)
    assert outcome.exit_code == 0, outcome.output
    # 36 voxels of 0.04 ml, and 64 of muscle
    assert "LV: volume 1 ml (!)\n" in outcome.output and "myocardium: volume 3 ml (!), mass 3 g (!)" in outcome.output
    found = json.loads((tmp_path / "out" / name / "volumes.json").read_text())
    assert found["volumes_ml"]["LV"] == pytest.approx([1.44])
    flags = [flag["code"] for flag in found["flags"]]
    assert {*flags} >= {"mask-no-heart", "number-implausible", "volume-incomplete", "orientation-lost"}
    assert outcome.output.count("  check: ") == len(flags)
    assert found["note"].startswith("Research software")
    assert outcome.output.splitlines()[-1].startswith("Look at the pictures before you trust a number. Research")
    assert found["end_systole"] is None and found["ejection_fraction_percent"] == {"LV": None, "RV": None}


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


def planned(plan, bundle, settings):
    """Write a plan in place of the bundle's inference."""
    (item,) = find_inputs(settings["input"])
    folder = settings["output_dir"] / volume_name(item)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    return {}


@pytest.mark.usefixtures("any_weights")
def test_a_plan_stands_beside_the_planes_that_were_acquired(tmp_path, monkeypatch):
    """The terminal and the page show angle and offset, and dashes if there is no plane or none was acquired."""
    affine = np.diag([2.0, 2.0, 10.0, 1.0])
    noise = np.random.default_rng(0).normal(size=(40, 40, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(noise, affine), tmp_path / "heart.nii.gz")
    made = {
        "verdict": "plane", "reasons": [], "origin": [40, 40, 10], "normal": [1, 0, 0], "agreement": 0.9,
        "slices_that_disagree": [], "slices_without_a_line": [], "within_deg": None, "within_mm": None,
    }  # fmt: skip
    none = dict.fromkeys(made) | {"verdict": "no plane", "reasons": ["peak 0.10, but must be at least 0.5"]}
    bounded = made | {"within_deg": 31.0, "within_mm": 6.5}
    far = made | {"within_deg": 31.0, "within_mm": 4.5}
    plan = {
        "slices": 3,
        "bounds_measured_on": "9 phantoms",
        "views": {"2ch": made, "3ch": made, "4ch": none, "rvot": bounded, "rv2ch": far},
    }
    # the acquired plane is tilted by 30 degrees, and its distance from the planned origin is 8 mm; its own origin is
    # 30 mm from its point that is nearest to the planned origin
    normal = [math.cos(math.pi / 6), 0.5, 0.0]
    acquired = {
        "origin": [40 + 8 * normal[0] - 30 * normal[1], 40 + 8 * normal[1] + 30 * normal[0], -50],
        "normal": normal,
    }

    def loaded(item):
        return dataclasses.replace(
            heart_stacks.load_stack(item), acquired=dict.fromkeys(("2ch", "4ch", "rvot", "rv2ch"), acquired)
        )

    monkeypatch.setattr(sys.modules["planewise.own_exams.plan_exams"], "run_inference", partial(planned, plan))
    monkeypatch.setattr(sys.modules["planewise.own_exams.plan_exams"], "load_stack", loaded)
    heart = tmp_path / "heart.nii.gz"
    outcome = run("plan", heart, "-o", tmp_path / "out", "--weights", heart, "--min_obliquity", 0)
    assert outcome.exit_code == 0, outcome.output
    # 8 mm along a normal that is 30 degrees off: 6.9 mm
    apart = "angle to the acquired plane 30.0 deg, offset from the acquired plane 6.9 mm"
    assert f"  2ch: verdict plane, {apart}\n" in outcome.output and "  3ch: verdict plane\n" in outcome.output
    assert "  3ch: agreement 0.90\n" in outcome.output
    rows = re.findall(r"<tr>(.*?)</tr>", next((tmp_path / "out").glob("*/index.html")).read_text(), re.S)
    cells = {each[0]: each[2:4] for row in reversed(rows) if (each := re.findall(r"<td[^>]*>(.*?)</td>", row))}
    assert cells["2ch"] == ["30.0 deg", "6.9 mm"] and cells["3ch"] == cells["4ch"] == ["-", "-"]
    # operators err, too: hypot(6.5, 5) is 8.2 mm, hypot(4.5, 5) is 6.7 mm; only what lies beyond these is marked and flagged
    flag = str(finding("view-far", "rv2ch", values=["6.93 mm"], limits=["6.73 mm"]))
    assert flag in outcome.output and outcome.output.count(f"{apart}\n") == 2
    assert outcome.output.count(f"{apart} (!)\n") == 1
    page = next((tmp_path / "out").glob("*/index.html")).read_text()
    page = re.sub(' data-column="[^"]*"', "", page)
    assert page.count('<td>30.0 deg</td><td class="flagged">6.9 mm (!)</td>') == 1 and flag in page


def test_a_later_phase_that_is_broken_costs_itself(exam, tmp_path, monkeypatch, caplog):
    """Only end-diastole is planned, and the log gives the reason."""
    module = sys.modules["planewise.own_exams.plan_exams"]
    ran = module.run_inference

    def broken(bundle, settings):
        if settings.get("phases") == "all":
            raise InputError("no exam can be read: its pixels are cut")
        return ran(bundle, settings)

    monkeypatch.setattr(module, "run_inference", broken)
    outcome = run("plan", exam, "-o", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    (file,) = (tmp_path / "out").glob("*/plan.json")
    assert "phases" not in json.loads(file.read_text())
    assert re.search(r"exam \w+: phase50 is not planned: .*its pixels are cut", caplog.text)


@pytest.mark.usefixtures("quick_starts")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_plan_that_is_stopped_ends_with_its_inference(number, code, exam, tmp_path):
    begun = tmp_path / "begun"
    bundle = shutil.copytree(ROOT / "bundles" / PLANS, tmp_path / PLANS)
    file = bundle / "configs/inference.yaml"
    run = [f"$open({str(begun)!r}, 'w').close()", "$__import__('time').sleep(120)"]
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"run": run}))
    command = [sys.executable, "-m", "planewise", "plan", exam, "--weights", bundle, "-o", tmp_path / "out"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as planning:
        _until(begun.is_file)
        planning.send_signal(number)
        assert planning.wait(60) == code
        assert "Traceback" not in planning.stderr.read()


def _until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["plan", "segment"])
def test_what_is_no_short_axis_is_refused(command, real_data, tmp_path):
    """A phantom of water, scanned straight axial, as DICOM."""
    outcome = run(command, real_data / "phantom_philips", "-o", tmp_path / "out")
    assert outcome.exit_code == 1 and not (tmp_path / "out").exists()
    assert f"planewise {command}: no stack here can be the short axis of a heart; name the folder" in outcome.output
    assert str(finding("not-recognised", least=5, kind="few-phases")) in outcome.output
    assert "--min_obliquity 0" in outcome.output
