"""Test that every defect of a knee exam writes the flaw that its name and description promise and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.phantoms import KNEE_UNLABELLED, Recipe
from planewise.phantoms.defect import with_ghosts
from planewise.phantoms.knee.defects import KNEE_DEFECTS
from planewise.phantoms.knee.study import study_files

from tests.phantoms.effects import IDENTITY, IDENTITY_HEADERS, Effect, effect_of, headers_of, normal, read, with_defects

#: What each defect changes, according to its line in `--list-defects`; everything else is as in the correct exam.
EFFECTS = {
    "missing_axial": Effect(gone="axial"),
    "missing_coronal": Effect(gone="coronal"),
    "plain_sagittal_only": Effect(gone="sagittal", added="sagittal"),
    "localizer_only": Effect(gone="axial coronal sagittal", added="localizer"),
    "repeated_sagittal": Effect(added="sagittal", pixels="sagittal"),
    "lying_names": Effect(headers="ProtocolName SeriesDescription"),
    "oblique_sagittal": Effect(gone="sagittal", added="sagittal"),
    "feet_first": Effect(
        headers="ImageOrientationPatient ImagePositionPatient PatientPosition", pixels="axial coronal sagittal"
    ),
    "no_descriptions": Effect(headers="ProtocolName SeriesDescription"),
    "identity": Effect(headers=IDENTITY_HEADERS, paths="axial coronal sagittal"),
}


@pytest.fixture(scope="module")
def exam():
    population = KNEE_UNLABELLED.at_size("demo").with_values(spacing=(5.4, 5.6), turn_error=0.0, oblique=0.0)
    exam = Recipe("fastmri", 3, population).exam(1)
    # head first, so that a defect can reverse the patient
    return replace(exam, scanner=replace(exam.scanner, feet_first=False))


@pytest.fixture(scope="module")
def sound(exam):
    return [(file, file.encode()) for file in study_files(exam, IDENTITY, plain_sagittal=1.0)]


@pytest.fixture(scope="module")
def flawed(sound, exam):
    return with_defects(sound, KNEE_DEFECTS, exam)


def _views(files) -> set[str]:
    return {file.view for file, _ in files}


def _suppressed(headers):
    return [header for header in headers if float(header.EchoTime) > 45]


def _points(header, columns, rows) -> np.ndarray:
    """Patient coordinates (LPS) of these pixels."""
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    spacing = [float(value) for value in header.PixelSpacing]
    place = np.array(header.ImagePositionPatient, dtype=float)
    return place + columns[:, None] * spacing[1] * orientation[:3] + rows[:, None] * spacing[0] * orientation[3:]


def test_every_defect_has_one_line():
    assert EFFECTS.keys() == KNEE_DEFECTS.keys()
    assert all(defect.what and "\n" not in defect.what for defect in KNEE_DEFECTS.values())


@pytest.mark.parametrize("name", KNEE_DEFECTS)
def test_a_defect_changes_what_its_line_says_and_nothing_else(flawed, name):
    assert effect_of(flawed(), flawed(name)) == EFFECTS[name]


def test_plain_sagittal_only(flawed, sound):
    files = flawed("plain_sagittal_only")
    sagittal = headers_of(files, "sagittal")
    assert len({header.SeriesInstanceUID for header in sagittal}) == 1 and not _suppressed(sagittal)
    assert _views(files) == {"sagittal", "coronal", "axial"}


def test_localizer_only(flawed):
    files = flawed("localizer_only")
    assert _views(files) == {"localizer"}
    assert len({int(np.abs(normal(header)).argmax()) for _, header in files}) == 3


def test_repeated_sagittal(flawed, sound):
    stack = _suppressed(headers_of(flawed("repeated_sagittal"), "sagittal"))
    series = sorted({int(header.SeriesNumber) for header in stack})
    assert len(series) == 2
    first, again = ([header for header in stack if header.SeriesNumber == number] for number in series)
    good = [read(file) for file, _ in sound if file.view == "sagittal"]
    good = _suppressed(good)
    for one, other, usual in zip(first, again, good, strict=True):
        assert one.ImagePositionPatient == other.ImagePositionPatient
        np.testing.assert_array_equal(one.pixel_array, with_ghosts(usual.pixel_array))
    # ghosts add a sixth to the stack's brightness; the second time the brightness is correct, with other noise
    truth, ghosted, well = (np.mean([header.pixel_array for header in some]) for some in (good, first, again))
    assert well == pytest.approx(truth, rel=0.02) and ghosted > 1.1 * truth
    assert all((one.pixel_array != two.pixel_array).any() for one, two in zip(good, again, strict=True))


def test_lying_names(flawed, exam):
    files = flawed("lying_names")
    stack = headers_of(files, "axial")
    assert len(stack) == len(exam.poses["axial"])
    assert {header.SeriesDescription for header in stack} == {"SAG T2 FS"}
    assert min(abs(normal(header)[2]) for header in stack) > 0.8
    assert all(header.SeriesDescription != "SAG T2 FS" for file, header in files if file.view == "coronal")


def test_oblique_sagittal(flawed, exam):
    stack = _suppressed(headers_of(flawed("oblique_sagittal"), "sagittal"))
    usual = exam.poses["sagittal"][0].normal
    normals = [normal(header) * [-1, -1, 1] for header in stack]
    assert len(stack) == len(exam.poses["sagittal"])
    angle = np.degrees(np.arccos(np.clip([abs(normal @ usual) for normal in normals], 0, 1)))
    np.testing.assert_allclose(angle, 25, atol=1.5)


def test_feet_first(flawed, sound):
    before = [read(file) for file, _ in sound]
    after = [header for _, header in flawed("feet_first")]
    for one, other in zip(before[::7], after[::7], strict=True):
        assert other.PatientPosition == "FFS"
        np.testing.assert_array_equal(one.pixel_array[::-1], other.pixel_array)
        # each pixel value keeps its position in the patient
        columns, rows = np.array([0, 3, 5]), np.array([0, 2, 4])
        np.testing.assert_allclose(_points(one, columns, rows), _points(other, columns, one.Rows - 1 - rows), atol=1e-4)


def test_no_descriptions(flawed):
    for _, header in flawed("no_descriptions"):
        assert "SeriesDescription" not in header and "ProtocolName" not in header


def test_identity(flawed):
    for file, header in flawed("identity"):
        assert header.PatientName == "Mustermann^Erika" and header.PatientBirthDate
        assert "Mustermann" in str(file.path) and "Mustermann" in header.StudyDescription


@pytest.mark.parametrize("name", sorted(KNEE_DEFECTS))
def test_defects_go_together_with_identity(flawed, name):
    assert flawed("identity", name) and flawed(name, "identity")
