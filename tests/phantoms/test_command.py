"""Test that the command writes what was requested, reports it, and explains what it refuses."""

import pydicom
import pytest
from planewise.commands import app
from planewise.workshop.phantoms import LAYOUTS
from typer.testing import CliRunner

SMALL = ("--set", "phases=3", "--set", "spacing=4,4", "--set", "field=260,260", "--workers", "1")


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


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        ("cardiac", ("--set", "tlit=3"), "unknown setting 'tlit'"),
        ("cardiac", ("--set", "tilt=3,4"), "tilt takes 1 number(s), as in tilt=9.0"),
        ("cardiac", ("--set", "noise=nan,nan"), "give finite numbers, the lower one first, as in noise=0.012,0.035"),
        ("cardiac", ("--set", "noise=2,1"), "the lower one first"),
        ("knee", ("--set", "tilt=3"), "unknown setting 'tilt'"),
        ("knee", ("--set", "slices=3"), "slices takes pairs of numbers"),
        ("volume", ("--set", "liver=3"), "unknown setting 'liver'"),
        ("volume", ("--layout", "aptos"), "no layout aptos"),
        ("knee", ("--set", "phases=3"), "unknown setting 'phases'"),
        ("photograph", ("--set", "side=80"), "at least 88"),
        ("cardiac", ("--set", "extra_views=-1"), "at least 0"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, body, options, message):
    result = of(body)(tmp_path / "out", *options)
    assert result.exit_code == 1 and message in result.output
    assert not (tmp_path / "out").exists()


def test_images_of_too_few_pixels_are_refused(run, tmp_path):
    result = run(tmp_path / "out", "--exams", 1, "--set", "spacing=100,100", "--workers", 1)
    assert result.exit_code == 1 and "pixels of 100 mm; set a smaller spacing" in result.output


@pytest.mark.parametrize("form", LAYOUTS.values(), ids=LAYOUTS)
def test_every_usual_value_may_be_given(form):
    population = form.population
    assert population.with_text([f"{name}={value}" for name, value, _ in population.describe()]) == population
