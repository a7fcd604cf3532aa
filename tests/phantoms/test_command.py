"""Test that the command writes what was requested, reports it, and explains what it refuses."""

import nibabel
import pydicom
import pytest
from planewise.commands import app
from planewise.workshop.phantoms import KNEE_LABELLED, LABELLED, LAYOUTS
from typer.testing import CliRunner

SMALL = ("--phases", "3", "--set", "spacing=4,4", "--set", "field=260,260", "--workers", "1")


def of(body: str):
    """Function that runs the command for a part of the body and gives its result."""
    return lambda *arguments: CliRunner().invoke(app, ["phantom", body, *map(str, arguments)])


@pytest.fixture
def run():
    return of("cardiac")


def test_writes_and_resumes(run, tmp_path):
    result = run(tmp_path, "--exams", 1, *SMALL)
    assert result.exit_code == 0 and "1 phantom exams written" in result.output
    header = pydicom.dcmread(next(tmp_path.rglob("sax*/*.dcm")))
    assert header.PixelSpacing == [4, 4] and max(header.Rows, header.Columns) == 64
    result = run(tmp_path, "--exams", 3, *SMALL)
    assert "2 phantom exams written" in result.output and "1 were complete already" in result.output
    result = run(tmp_path, "--exams", 2, "--seed", 9, *SMALL)
    assert result.exit_code == 1 and "name another folder" in result.output


def test_the_home_folder_may_be_written_as_a_tilde(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = run("~/exams", "--exams", 1, *SMALL)
    assert result.exit_code == 0 and [path.name for path in tmp_path.iterdir()] == ["exams"], result.output


def test_acdc_with_settings(run, tmp_path):
    options = ("--layout", "acdc", "--set", "noise=0,0", "--set", "shape=0.5")
    result = run(tmp_path, "--exams", 1, *options, *SMALL)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "training/patient001/Info.cfg").exists()


@pytest.mark.parametrize(
    ("body", "layout", "words"),
    [("cardiac", "acdc", ["image_rotation", "degrees"]), ("knee", "mrnet", ["severity", "epicondyles"])],
)
def test_lists_the_settings(body, layout, words):
    listed = of(body)("--list-settings", "--layout", layout).output
    assert all(word in listed for word in words)


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        ("cardiac", ("--set", "tlit=3"), "unknown setting 'tlit'"),
        ("cardiac", ("--set", "tilt=3,4"), "tilt takes 1 number(s), as in tilt=9.0"),
        ("cardiac", ("--set", "noise=nan,nan"), "give finite numbers, the lower one first, as in noise=0.012,0.035"),
        ("cardiac", ("--set", "noise=2,1"), "the lower one first"),
        ("knee", ("--set", "tilt=3"), "unknown setting 'tilt'"),
        ("knee", ("--set", "slices=3"), "unknown setting 'slices'"),
        ("volume", ("--set", "liver=3"), "unknown setting 'liver'"),
        ("volume", ("--layout", "aptos"), "no layout aptos"),
        ("knee", ("--phases", 3), "only for cardiac"),
        ("photograph", ("--side", 80), "at least 88"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, body, options, message):
    result = of(body)(tmp_path / "out", *options)
    assert result.exit_code == 1 and message in result.output
    assert not (tmp_path / "out").exists()


def test_images_of_too_few_pixels_are_refused(run, tmp_path):
    result = run(tmp_path / "out", "--exams", 1, "--set", "spacing=100,100", "--workers", 1)
    assert result.exit_code == 1 and "pixels of 100 mm; set a smaller spacing" in result.output


def test_a_folder_that_cannot_be_written_is_refused(run, tmp_path):
    (tmp_path / "file").touch()
    result = run(tmp_path / "file/out", "--exams", 1)
    assert result.exit_code == 1 and "cannot be written" in result.output


@pytest.mark.parametrize("form", LAYOUTS.values(), ids=LAYOUTS)
def test_every_usual_value_may_be_given(form):
    population = form.population
    assert population.with_text([f"{name}={value}" for name, value, _ in population.describe() if "+" not in value])


@pytest.fixture
def run_knee():
    return of("knee")


def test_knee_writes_and_resumes(run_knee, tmp_path):
    small = ("--set", "spacing=4,4", "--set", "plain_sagittal=0", "--set", "localizer=0", "--workers", 1)
    options = ("--exams", 1, "--patient-name", "Doe^Jane", *small)
    result = run_knee(tmp_path, *options)
    assert result.exit_code == 0 and "1 phantom exams written" in result.output
    headers = [pydicom.dcmread(path) for path in tmp_path.rglob("*.dcm")]
    assert {str(header.PatientName) for header in headers} == {"Doe^Jane"}
    assert "1 were complete already" in run_knee(tmp_path, *options).output


def test_knee_writes_labelled_exams(run_knee, tmp_path):
    result = run_knee(tmp_path, "--layout", "mrnet", "--exams", 2, "--set", "matrix=32", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "train/sagittal/0001.npy").exists() and (tmp_path / "train-meniscus.csv").exists()


@pytest.mark.parametrize(("layout", "written"), [("brats", "*/*/*_flair.nii.gz"), ("msd", "images*/pancreas_*.nii.gz")])
def test_volumes_of_a_size(tmp_path, layout, written):
    result = CliRunner().invoke(
        app, ["phantom", "volume", str(tmp_path), "--layout", layout, "--exams", "1", "--side", "20", "--workers", "1"]
    )
    assert result.exit_code == 0 and "1 phantom exams written" in result.output
    assert [nibabel.load(path).shape for path in tmp_path.glob(written)] == [(20, 20, 20)]


def test_settings_of_volumes():
    listed = CliRunner().invoke(app, ["phantom", "volume", "--list-settings", "--layout", "msd"])
    assert listed.exit_code == 0 and "difference in brightness between the pancreas" in " ".join(listed.output.split())


@pytest.mark.parametrize("population", [LABELLED, KNEE_LABELLED])
def test_a_population_is_of_the_papers_size_unless_a_demo_is_asked_for(population):
    assert population.at_size("paper") == population != population.at_size("demo")
