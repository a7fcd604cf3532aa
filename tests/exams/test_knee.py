"""Test that the stacks of a knee exam are recognised from files."""

import numpy as np
import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planewise.errors import InputError
from planewise.exams import find_stacks
from planewise.exams.knee import central_slice, plane_of_stack
from planewise.findings import Finding, finding, from_record

from tests.exams.hearts import make_stack, rotation, unit
from tests.exams.knees import (
    PD,
    index,
    items_of,
    oblique,
    only_exam,
    write_knee,
    write_series,
)
from tests.exams.told import why_not


def series_of(result) -> dict[str, str]:
    """Maps views to the folders of their images, including the stack to learn from."""
    used = {items_of(result)[0]["stack"]: items_of(result)[0]["image"].split("/")[-2]}
    stacks = only_exam(result)["stacks"]
    return used | {
        name: stack["items"][0]["image"].split("/")[-2] for name, stack in stacks.items() if "items" in stack
    }


def left_out(result) -> list[Finding]:
    return [from_record(record) for record in only_exam(result)["left_out"]]


def test_a_usual_knee(tmp_path):
    result = index(write_knee(tmp_path))
    assert result.datalist["planewise"] == {
        "version": 1, "anatomy": "knee", "stack": "sagittal", "views": ["axial", "coronal"], "seed": 0
    }  # fmt: skip
    exam = only_exam(result)
    assert list(exam["stacks"]) == ["sagittal", "axial", "coronal"]
    assert exam["left_out"] == []
    assert exam["stacks"]["sagittal"]["confidence"] > 0.95
    items = items_of(result)
    assert [item["slice"] for item in items] == list(range(15))
    assert {(item["stack"], item["phase"]) for item in items} == {("sagittal", 0.0)}
    assert [item["location"] for item in items] == pytest.approx(np.linspace(0, 1, 15), abs=1e-6)
    across = [item["affine"][0][3] for item in items]
    assert (np.diff(across) < 0).all(), "from the patient's right to the left"
    for item in items:
        assert list(item["planes"]) == ["axial", "coronal"]
        assert item["planes"]["axial"]["origin"][2] == pytest.approx(-20, abs=1e-4)
        assert item["planes"]["coronal"]["origin"][1] == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize(
    "turn", [oblique(25), oblique(35), oblique(-38), rotation([1, 0, 0], 33), rotation([0, 1, 0], -30)]
)
@pytest.mark.parametrize("side", [60.0, -60.0])
def test_oblique_knees_of_either_side(tmp_path, turn, side):
    result = index(write_knee(tmp_path, turn=turn, centre=(side, 0, 0), SeriesDescription="x"))
    assert series_of(result) == {"sagittal": "SAG_T2_FS", "axial": "AX_T2_FS", "coronal": "COR_PD_FS"}
    planes = items_of(result)[0]["planes"]
    for view, axis in (("axial", [0, 0, 1]), ("coronal", [0, 1, 0])):
        assert abs(np.dot(planes[view]["normal"], turn @ axis)) == pytest.approx(1, abs=1e-6)
    origins = np.array([item["affine"] for item in items_of(result)])[:, :3, 3]
    assert (np.diff(origins @ (turn @ [1, 0, 0])) < 0).all()


@given(st.integers(0, 10**6), st.sampled_from(["sagittal", "coronal", "axial"]))
def test_a_plane_is_the_body_axis_nearest_to_the_normal(seed, plane):
    """The result equals a slow version: the largest component of the normal, if no other is close to it."""
    rng = np.random.default_rng(seed)
    axis = {"sagittal": [1, 0, 0], "coronal": [0, 1, 0], "axial": [0, 0, 1]}[plane]
    normal = rotation(rng.normal(size=3), rng.uniform(0, 38)) @ axis
    stack = make_stack([[0, 0, 0]], normal * rng.choice([-1, 1]), text=rng.choice(["", "sag", "cor", "axial"]))
    angles = np.sort(np.degrees(np.arccos(np.abs(normal))))
    found = plane_of_stack(stack)
    if angles[1] - angles[0] >= 10.01:
        assert (found.view, found.confidence) == (plane, 1.0)
    if angles[1] - angles[0] < 9.99:
        assert found.view in (None, {"sag": "sagittal", "cor": "coronal"}.get(stack.text, stack.text))


def test_another_contrast_is_left_out_and_taken_if_asked_for(tmp_path):
    write_knee(tmp_path, name="SAG_PD", sagittal=PD)
    with pytest.raises(InputError):
        index(tmp_path)
    (stack,) = find_stacks(tmp_path, "sagittal")
    (why,) = why_not(stack)
    assert (why.code, why["contrast"], len(stack["image"])) == ("not-recognised", "PDw no FS", 15)
    assert stack["image"][0]["location"] == 0
    assert not why_not(find_stacks(tmp_path, "sagittal", contrast="any")[0])
    result = index(tmp_path, contrast="any")
    assert len(items_of(result)) == 15
    assert set(items_of(result)[0]["planes"]) == {"axial", "coronal"}


def test_a_slice_at_a_wrong_position_of_a_view_is_said(tmp_path):
    """It may become the view's plane."""
    write_knee(tmp_path)
    path = sorted((tmp_path / "AX_T2_FS").iterdir())[0]
    header = pydicom.dcmread(path)
    header.ImagePositionPatient = [float(value) + 30 for value in header.ImagePositionPatient]
    header.save_as(path)
    said = left_out(index(tmp_path))
    assert ("stack-doubtful", "axial") in [(each.code, each.subject) for each in said]
    assert finding("stack-doubtful", "axial", count=1, mm=10, kind="displaced") in said


@pytest.mark.parametrize(("number", "slices", "shift"), [(3, 15, 0.0), (9, 19, 1.3)])
def test_two_contrasts_of_one_geometry_stay_apart(tmp_path, number, slices, shift):
    """PD comes before or after T2, with as many slices or more, at the same positions or between them."""
    write_knee(tmp_path)
    centre = (60.0 + shift, 5.0, -20.0)
    write_series(tmp_path / "SAG_PD", "sagittal", number=number, slices=slices, centre=centre, **PD)
    result = index(tmp_path)
    assert {item["image"].split("/")[-2] for item in items_of(result)} == {"SAG_T2_FS"}
    assert len(items_of(result)) == 15
    assert left_out(result) == []


def write_localizer(folder, **tags):
    values = {"SeriesDescription": "3 Plane Localizer", "SeriesInstanceUID": "1.2.3.9", **tags}
    for number, plane in enumerate(("sagittal", "coronal", "axial"), start=1):
        write_series(folder / "loc", plane, number=number, slices=7, gap=15, **values)


def test_a_localizer_beside_a_proper_stack_is_never_used(tmp_path):
    write_knee(tmp_path)
    write_localizer(tmp_path, AcquisitionTime="200000")
    result = index(tmp_path)
    assert series_of(result) == {"sagittal": "SAG_T2_FS", "axial": "AX_T2_FS", "coronal": "COR_PD_FS"}
    write_knee(tmp_path / "pd", name="SAG_PD", sagittal=PD)
    for path in (tmp_path / "SAG_T2_FS").iterdir():
        path.unlink()
    with pytest.raises(InputError):
        index(tmp_path)


@given(st.integers(1, 40), st.floats(0.5, 9), st.booleans(), st.integers(0, 1000))
@example(4, 1.25, False, 0)  # 0.625 mm from the middle, which can round to either side
def test_the_central_slice(count, gap, flipped, seed):
    """It is the slice nearest to the middle between the first and last position, even if slices are missing."""
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(count) < 0.8)
    ranks = kept if len(kept) else np.array([0])
    normal = unit(rng.normal(size=3)) * (-1 if flipped else 1)
    stack = make_stack(ranks[:, None] * gap * normal, normal)
    positions = [entry.position for entry in stack.slices]
    distances = [abs(position - (min(positions) + max(positions)) / 2) for position in positions]
    rank = central_slice(stack)
    assert distances[rank] <= min(distances) + 0.011
    # if two slices are equally near, the direction of the numbering does not matter
    toward = positions[0] * normal
    again = make_stack(ranks[:, None] * gap * normal, -normal)
    ours = stack.slices[central_slice(stack, toward)].position
    assert again.slices[central_slice(again, toward)].position == pytest.approx(-ours, abs=0.02)
