"""Test that the stacks of a knee exam are recognised from files."""

import shutil

import numpy as np
import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planewise.errors import InputError
from planewise.exams import find_inputs, find_stacks, index_folder
from planewise.exams.knee import MIN_CONFIDENCE, _beyond, _preference, central_slice, right_to_left
from planewise.exams.knee_contrast import Contrast
from planewise.exams.knee_planes import named_plane, plane_of_stack
from planewise.findings import Finding, finding, from_record, from_text
from pydicom.uid import generate_uid

from tests.exams.hearts import make_stack, rotation, unit
from tests.exams.knees import (
    NOTHING,
    PD,
    T1,
    T2_FS,
    index,
    items_of,
    oblique,
    only_exam,
    write_knee,
    write_series,
)
from tests.exams.told import codes


def series_of(result) -> dict[str, str]:
    """Maps views to the folders of their images, including the stack to learn from."""
    used = {items_of(result)[0]["stack"]: items_of(result)[0]["image"].split("/")[-2]}
    stacks = only_exam(result)["stacks"]
    return used | {
        name: stack["items"][0]["image"].split("/")[-2] for name, stack in stacks.items() if "items" in stack
    }


def left_out(result) -> list[Finding]:
    return [from_record(record) for record in only_exam(result)["left_out"]]


def contrast_of_stack(result, name="sagittal") -> str:
    return only_exam(result)["stacks"][name]["remark"]["contrast"]


# --- a usual exam ------------------------------------------------------------------------------------------------------


def test_a_usual_knee(tmp_path):
    result = index(write_knee(tmp_path))
    assert result.datalist["planewise"] == {
        "version": 1, "anatomy": "knee", "stack": "sagittal", "views": ["axial", "coronal"], "seed": 0
    }  # fmt: skip
    exam = only_exam(result)
    assert list(exam["stacks"]) == ["sagittal", "axial", "coronal"]
    assert exam["left_out"] == []
    assert contrast_of_stack(result).startswith("T2w FS by")
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


def test_head_first_and_feet_first(tmp_path):
    """The direction in which a scanner numbers slices and stores rows does not matter."""
    write_knee(tmp_path / "head", StudyInstanceUID=generate_uid(), FrameOfReferenceUID=generate_uid())
    # feet first: the knee is rotated by 180 degrees about the body's axis, and slices are numbered from the other end
    turned = rotation([0, 0, 1], 180)
    feet = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid(), "PatientPosition": "FFS"}
    write_knee(tmp_path / "feet", turn=turned, centre=(-60.0, 0, 0), PatientID="P-2", **feet)
    result = index(tmp_path)
    assert len(result.datalist["exams"]) == 2
    for name in result.datalist["exams"]:
        own = [item for item in items_of(result) if item["exam"] == name]
        assert [item["location"] for item in own] == pytest.approx(np.linspace(0, 1, 15), abs=1e-6)
        assert (np.diff([item["affine"][0][3] for item in own]) < 0).all()


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


def test_names_decide_only_between_planes_that_are_as_near(tmp_path):
    turn = rotation([0, 0, 1], 44)
    write_series(tmp_path / "oblique_SAG_T2_FS", "sagittal", turn=turn)
    result = index(tmp_path)
    assert only_exam(result)["stacks"]["sagittal"]["confidence"] < 0.75
    (tmp_path / "other").mkdir()
    write_series(tmp_path / "other" / "T2_FS", "sagittal", turn=turn)
    with pytest.raises(InputError):
        index(tmp_path / "other")
    (stack,) = find_stacks(tmp_path / "other", "sagittal")
    assert stack.why_not == [finding("no-sagittal-stack"), finding("plane-undecided", likely=["sagittal", "coronal"])]


@pytest.mark.parametrize(
    ("text", "plane"),
    [
        ("SAG T2 FS", "sagittal"), ("t2_tse_sag_fs", "sagittal"), ("pd_cor", "coronal"), ("Coronal PD", "coronal"),
        ("AX T2", "axial"), ("t2_tra", "axial"), ("transversal", "axial"), ("3-plane sag cor ax", None), ("knee", None),
        ("max slices", None), ("core", None), ("correlation", None), ("extra", None),
    ],
)  # fmt: skip
def test_planes_in_names(text, plane):
    assert named_plane(text) == plane


def test_a_folders_name_counts_where_the_description_names_no_plane():
    stack = make_stack([[0, 0, 0]], [1, 1, 0], text="pd cor_4")
    stack.description = "pd sag"
    assert plane_of_stack(stack).view == "sagittal"
    stack.description = "pd"
    assert plane_of_stack(stack).view == "coronal"


def test_a_name_that_lies_about_the_plane_is_outvoted(tmp_path):
    write_knee(tmp_path)
    write_series(tmp_path / "more", "axial", number=9, slices=21, SeriesDescription="SAG T2 FS")
    result = index(tmp_path)
    exam = only_exam(result)
    assert series_of(result)["sagittal"] == "SAG_T2_FS"
    assert series_of(result)["axial"] == "more"
    assert exam["stacks"]["axial"]["named"] == "sagittal"
    (misnamed,) = (each for each in left_out(result) if each.code == "series-misnamed")
    assert (misnamed.subject, misnamed["named"]) == ("axial", "sagittal")


# --- contrast ----------------------------------------------------------------------------------------------------------


def test_another_contrast_is_left_out_and_taken_if_asked_for(tmp_path):
    write_knee(tmp_path, name="SAG_PD", sagittal=PD)
    with pytest.raises(InputError):
        index(tmp_path)
    (stack,) = find_stacks(tmp_path, "sagittal")
    assert (stack.stack, stack.why_not[0].code, len(stack.slices)) == ("unknown", "no-contrast", 15)
    assert stack.why_not[0]["contrast"].startswith("PDw by name and TE/TR") and stack.slices[0]["location"] == 0
    assert not find_stacks(tmp_path, "sagittal", contrast="any")[0].why_not
    result = index(tmp_path, contrast="any")
    assert len(items_of(result)) == 15
    assert set(items_of(result)[0]["planes"]) == {"axial", "coronal"}
    assert contrast_of_stack(result).startswith("PDw by name and TE/TR")


def test_the_exam_of_another_contrast_stays_listed(tmp_path):
    write_knee(tmp_path / "good")
    other = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid(), "PatientID": "P-2"}
    write_knee(tmp_path / "t1", name="SAG_T1", sagittal=T1, **other)
    result = index(tmp_path)
    assert len({item["exam"] for item in items_of(result)}) == 1
    (left,) = [exam for exam in result.datalist["exams"].values() if "sagittal" not in exam["stacks"]]
    assert set(left["stacks"]) == {"axial", "coronal", "other-1"}
    assert left["stacks"]["other-1"]["remark"]["contrast"].startswith("T1w by name and TE/TR")


def test_an_unknown_contrast_or_one_for_hearts(tmp_path):
    write_knee(tmp_path)
    with pytest.raises(InputError, match="--contrast|t2fs"):
        index(tmp_path, contrast="pd")
    with pytest.raises(InputError, match="--contrast"):
        index_folder(tmp_path, contrast="any")


def test_a_slice_of_another_spacing_is_left_out_and_said(tmp_path):
    write_knee(tmp_path)
    path = tmp_path / "SAG_T2_FS/IM-0004-0007.dcm"
    header = pydicom.dcmread(path)
    header.PixelSpacing = [7.0, 7.1]  # between rows, between columns
    header.save_as(path)
    result = index(tmp_path)
    assert len(items_of(result)) == 14
    said, gap = left_out(result)
    assert (said.code, said["kind"], said["own"], said["usual"]) == ("stack-not-used", "pixels", "7.1 x 7", "7 x 7")
    assert gap.code == "gaps-uneven"


def test_a_slice_at_a_wrong_position_of_a_view_is_said(tmp_path):
    """It may become the view's plane."""
    write_knee(tmp_path)
    path = sorted((tmp_path / "AX_T2_FS").iterdir())[0]
    header = pydicom.dcmread(path)
    header.ImagePositionPatient = [float(value) + 30 for value in header.ImagePositionPatient]
    header.save_as(path)
    said = left_out(index(tmp_path))
    assert ("gaps-uneven", "axial") in [(each.code, each.subject) for each in said]
    assert finding("images-displaced", "axial", count=1, mm=10) in said


@pytest.mark.parametrize("shift", [0.0, 1.3])
@pytest.mark.parametrize("slices", [15, 19])
@pytest.mark.parametrize("number", [3, 9])
def test_two_contrasts_of_one_geometry_stay_apart(tmp_path, number, slices, shift):
    """PD comes before or after T2, with as many slices or more, at the same positions or between them."""
    write_knee(tmp_path)
    centre = (60.0 + shift, 5.0, -20.0)
    write_series(tmp_path / "SAG_PD", "sagittal", number=number, slices=slices, centre=centre, **PD)
    result = index(tmp_path)
    assert {item["image"].split("/")[-2] for item in items_of(result)} == {"SAG_T2_FS"}
    assert len(items_of(result)) == 15
    assert codes(left_out(result)) == ["stack-of-contrast"]


@pytest.mark.parametrize("tags", [{"EchoNumbers": 1}, {}])
def test_the_echoes_of_one_series_are_two_stacks(tmp_path, tags):
    series = {"SeriesInstanceUID": "1.2.3.77", "SeriesDescription": "SAG PD/T2 FS", "SeriesNumber": 4}
    write_series(tmp_path / "a", "sagittal", **T2_FS | {"EchoTime": 14, "RepetitionTime": 3500} | tags, **series)
    late = {"EchoNumbers": 2} if tags else {}
    write_series(tmp_path / "b", "sagittal", **T2_FS | {"EchoTime": 80, "RepetitionTime": 3500} | late, **series)
    result = index(tmp_path)
    assert {item["image"].split("/")[-2] for item in items_of(result)} == {"b"}
    assert sorted(stack["slices"] for stack in only_exam(result)["stacks"].values()) == [11, 11]


def test_names_alone_tell_two_contrasts_apart(tmp_path):
    silent = {key: None for key in NOTHING if key != "SeriesDescription"}
    write_series(tmp_path / "SAG_T2_FS", "sagittal", number=1, **silent)
    write_series(tmp_path / "SAG_PD", "sagittal", number=2, **silent)
    result = index(tmp_path)
    assert {item["image"].split("/")[-2] for item in items_of(result)} == {"SAG_T2_FS"}


def test_nothing_tells_the_contrast(tmp_path):
    write_knee(tmp_path, **NOTHING | {"SeriesDescription": "knee"})
    for folder in tmp_path.iterdir():  # folder names also count
        folder.rename(tmp_path / f"Se{folder.name[:1]}")
    result = index(tmp_path)
    assert only_exam(result)["stacks"]["sagittal"]["confidence"] == pytest.approx(0.25)
    assert "contrast-unknown" in codes(left_out(result))


# --- several stacks ----------------------------------------------------------------------------------------------------


def test_a_repeated_sagittal_is_used_instead(tmp_path):
    """If the same series occurs again, the last acquisition is used, whatever the folders' names."""
    write_knee(tmp_path)
    write_series(tmp_path / "A", "sagittal", number=8, slices=15, SeriesDescription="SAG T2 FS")
    result = index(tmp_path)
    assert {item["image"].split("/")[-2] for item in items_of(result)} == {"A"}
    assert finding("slices-other-images", count=15, kind="repeated") in left_out(result)


def test_a_few_repeated_slices_are_used_instead(tmp_path):
    write_knee(tmp_path)
    write_series(tmp_path / "again", "sagittal", number=8, slices=3, SeriesDescription="SAG T2 FS")
    result = index(tmp_path)
    used = [item["image"].split("/")[-2] for item in items_of(result)]
    assert used == ["SAG_T2_FS"] * 6 + ["again"] * 3 + ["SAG_T2_FS"] * 6


@pytest.mark.parametrize(
    ("first", "note"),
    [
        (1, finding("slices-other-images", count=15, kind="repeated")),
        (16, finding("slices-several-images", count=15)),
    ],
)
def test_a_repeat_inside_one_series_is_no_time(tmp_path, first, note):
    write_knee(tmp_path)
    write_series(tmp_path / "SAG_T2_FS", "sagittal", number=99, slices=15, first=first, SeriesNumber=4)
    result = index(tmp_path)
    assert {item["phase"] for item in items_of(result)} == {0.0}
    assert len(items_of(result)) == 15
    assert {item["image"].split("/")[-1][:7] for item in items_of(result)} == {"IM-0099"}
    assert note in left_out(result)


def test_of_two_that_fit_the_one_with_most_slices(tmp_path):
    write_knee(tmp_path)
    write_series(tmp_path / "SAG_T2_FS_long", "sagittal", number=2, slices=21, gap=3.0, turn=oblique(3))
    result = index(tmp_path)
    assert series_of(result)["sagittal"] == "SAG_T2_FS_long"
    fitting = finding("several-planes", "sagittal", count=2, kind="most-slices")
    (item,) = find_inputs(tmp_path, view="sagittal")
    assert fitting in left_out(result) and from_text(item["findings"]) == [fitting]


def test_the_likeliest_contrast_comes_before_slices(tmp_path):
    write_knee(tmp_path)
    write_series(tmp_path / "SAG_T2", "sagittal", number=2, slices=31, **T2_FS | {"ScanOptions": None})
    result = index(tmp_path)
    assert series_of(result)["sagittal"] == "SAG_T2_FS"
    assert finding("several-planes", "sagittal", count=2, kind="likeliest") in left_out(result)


def write_localizer(folder, **tags):
    values = {"SeriesDescription": "3 Plane Localizer", "SeriesInstanceUID": "1.2.3.9", **tags}
    for number, plane in enumerate(("sagittal", "coronal", "axial"), start=1):
        write_series(folder / "loc", plane, number=number, slices=7, gap=15, **values)


def test_a_localizer_beside_a_proper_stack_is_never_used(tmp_path):
    write_knee(tmp_path)
    write_localizer(tmp_path, AcquisitionTime="200000")
    result = index(tmp_path)
    assert series_of(result) == {"sagittal": "SAG_T2_FS", "axial": "AX_T2_FS", "coronal": "COR_PD_FS"}
    assert finding("localizers-not-used", count=3) in left_out(result)
    write_knee(tmp_path / "pd", name="SAG_PD", sagittal=PD)
    for path in (tmp_path / "SAG_T2_FS").iterdir():
        path.unlink()
    with pytest.raises(InputError):
        index(tmp_path)


def test_a_localizer_stands_in_for_a_plane_that_is_lacking(tmp_path):
    write_series(tmp_path / "SAG_T2_FS", "sagittal", slices=15)
    write_localizer(tmp_path)
    result = index(tmp_path)
    assert series_of(result) == {"sagittal": "SAG_T2_FS", "axial": "loc", "coronal": "loc"}


def test_a_localizer_that_is_surely_another_contrast_is_not_learned_from(tmp_path):
    write_localizer(tmp_path, SeriesDescription="T1 3 Plane Localizer", EchoTime=12, RepetitionTime=600)
    (stack,) = find_stacks(tmp_path, "sagittal")
    assert codes(stack.why_not) == ["no-contrast", "localizer"] and stack.why_not[0]["contrast"].startswith("T1w")
    result = index(tmp_path, contrast="any")
    assert only_exam(result)["stacks"]["sagittal"]["confidence"] == pytest.approx(0.2, abs=0.01)


def test_a_localizer_that_may_be_the_contrast_is_used(tmp_path):
    write_localizer(tmp_path)
    confidence = only_exam(index(tmp_path))["stacks"]["sagittal"]["confidence"]
    assert MIN_CONFIDENCE < confidence <= 0.2


def test_localizers_are_told_by_their_image_type(tmp_path):
    write_knee(tmp_path)
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "LOCALIZER"], "SeriesDescription": "knee"}
    write_series(tmp_path / "x", "axial", number=1, slices=31, **kind)
    assert series_of(index(tmp_path))["axial"] == "AX_T2_FS"


# --- planes ------------------------------------------------------------------------------------------------------------


def test_of_two_axial_stacks_the_one_at_the_knee(tmp_path):
    write_knee(tmp_path)
    write_series(
        tmp_path / "AX_more", "axial", number=9, slices=17, centre=(60, 5, -70), turn=oblique(2, axis=(1, 0, 0))
    )
    result = index(tmp_path)
    assert series_of(result)["axial"] == "AX_T2_FS"
    assert finding("several-planes", "axial", count=2, kind="covers") in left_out(result)


@pytest.mark.parametrize("turn", [None, oblique(8)])
def test_two_knees_in_one_frame_of_reference_are_two_exams(tmp_path, turn):
    """Whether or not their series are parallel; a stack across both knees gives both a plane."""
    write_knee(tmp_path / "a", centre=(90.0, 5, -20))
    write_knee(tmp_path / "b", centre=(-90.0, 5, -20), turn=turn)
    for knee in "ab":
        shutil.rmtree(tmp_path / knee / "COR_PD_FS")
    write_series(tmp_path / "COR", "coronal", number=9, centre=(4.0, 5, -20), **PD)
    result = index(tmp_path)
    sides = {}
    for name, exam in result.datalist["exams"].items():
        own = [item for item in items_of(result) if item["exam"] == name]
        planes = [exam["stacks"][view]["items"][0]["image"].split("/")[-3:-1] for view in ("axial", "coronal")]
        folder = own[0]["image"].split("/")[-3]
        assert planes == [[folder, "AX_T2_FS"], [tmp_path.name, "COR"]]
        assert len(own) == 15
        (apart,) = (each for each in exam["left_out"] if each["code"] == "places-apart")
        sides[folder] = apart["number"]
    # RAS+: the patient's left is positive, and knees are counted from the right
    assert sides == {"b": 1, "a": 2}
    assert len(find_stacks(tmp_path, "sagittal")) == 2


def test_the_second_knee_is_not_a_part_of_the_first(tmp_path):
    for number, side in enumerate((90.0, -90.0)):
        write_knee(tmp_path / str(number), centre=(side, 5, -20), FrameOfReferenceUID=f"1.3.{number}")
    assert [stack.findings for stack in find_stacks(tmp_path, "sagittal")] == [
        [finding("several-frames-of-reference", count=2)]
    ] * 2


@pytest.mark.parametrize("tags", [{"BodyPartExamined": "ANKLE", "SeriesDescription": "SAG T2 FS"}, {}])
def test_another_body_part_is_no_knee(tmp_path, tags):
    write_knee(tmp_path, BodyPartExamined="KNEE")
    values = {"BodyPartExamined": "KNEE", "SeriesDescription": "SAG T2 FS ANKLE"} | tags
    write_series(tmp_path / "more", "sagittal", number=9, slices=21, centre=(60, 5, -400), **values)
    values["SeriesDescription"] = "COR ANKLE"
    write_series(tmp_path / "cor", "coronal", number=10, slices=21, centre=(60, 5, -40), **values)
    result = index(tmp_path)
    assert series_of(result) == {"sagittal": "SAG_T2_FS", "axial": "AX_T2_FS", "coronal": "COR_PD_FS"}
    assert left_out(result) == [finding("stack-of-organ", view, organ="an ankle") for view in ("sagittal", "coronal")]
    assert from_record(only_exam(result)["stacks"]["other-1"]["remark"]) == finding("series-of-organ", organ="an ankle")


@pytest.mark.parametrize("part", ["LSPINE", "KNEE", "EXTREMITY"])
def test_an_exam_of_another_body_part_alone_is_refused(tmp_path, part):
    write_knee(tmp_path / "a", BodyPartExamined=part)
    (stack,) = find_stacks(tmp_path, "sagittal")
    why_not = [finding("no-sagittal-stack"), finding("series-of-organ", organ="a spine")]
    assert stack.why_not[:2] == (why_not if part == "LSPINE" else [])
    if part == "LSPINE":  # a series' name is more likely right than BodyPartExamined
        for path in (tmp_path / "a").rglob("*.dcm"):
            header = pydicom.dcmread(path)
            header.SeriesDescription = f"knee {header.SeriesDescription}"
            header.save_as(path)
        assert not find_stacks(tmp_path, "sagittal")[0].why_not


def test_a_plane_of_another_place_is_left_out(tmp_path):
    write_knee(tmp_path)
    shutil.rmtree(tmp_path / "AX_T2_FS")
    write_series(tmp_path / "AX", "axial", number=9, slices=13, centre=(60, 145, -20))
    result = index(tmp_path)
    assert list(only_exam(result)["stacks"]) == ["sagittal", "coronal", "other-1"]
    (elsewhere,) = left_out(result)
    assert (elsewhere.code, elsewhere.subject) == ("stack-elsewhere", "axial")


@pytest.mark.parametrize(("slices", "reason"), [(17, "most-slices"), (13, "last")])
def test_of_two_axial_stacks_at_the_knee(tmp_path, slices, reason):
    write_knee(tmp_path)
    write_series(tmp_path / "AX_more", "axial", number=9, slices=slices, turn=oblique(2, axis=(1, 0, 0)))
    result = index(tmp_path)
    assert series_of(result)["axial"] == "AX_more"
    assert finding("several-planes", "axial", count=2, kind=reason) in left_out(result)


@pytest.mark.parametrize(("place", "distance"), [(0, 0), (16, 0), (17.9, 0), (-1.9, 0), (18.5, 0.5), (-7, 5)])
def test_a_stack_covers_half_a_gap_beyond_its_outer_slices(place, distance):
    normal = unit([1, 2, -2])
    stack = make_stack([4.0 * rank * normal for rank in range(5)], normal)
    place += min(entry.position for entry in stack.slices)
    assert _beyond(stack, place * normal) == pytest.approx(distance, abs=1e-6)
    # a single slice of 8 mm covers 4 mm on each side
    one = make_stack([[0, 0, 0]], normal)
    assert _beyond(one, (one.slices[0].position + 5) * normal) == pytest.approx(1, abs=1e-6)


def test_small_differences_of_confidence_do_not_decide():
    stack = make_stack([[0, 0, 0]], [1, 0, 0])
    keys = [_preference(stack, Contrast(confidence, False, ""))[0] for confidence in (0.96, 0.99, 0.8)]
    assert keys[0] == keys[1] > keys[2]


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


def test_a_missing_view_is_said_and_the_exam_kept(tmp_path):
    write_knee(tmp_path)
    for path in (tmp_path / "COR_PD_FS").iterdir():
        path.unlink()
    result = index(tmp_path)
    assert set(items_of(result)[0]["planes"]) == {"axial"}
    assert finding("exams-without-view", "coronal", count=1, of=1, stack="sagittal") in result.warnings


def test_too_few_slices(tmp_path):
    write_series(tmp_path / "SAG_T2_FS", "sagittal", slices=4)
    (stack,) = find_stacks(tmp_path, "sagittal")
    assert stack.why_not == [finding("no-stack", "sagittal", least=5, most=4)]


def test_no_right_and_left_along_a_stack_that_runs_otherwise():
    assert right_to_left(make_stack([[0, 0, 0]], [0, 1, 0.2])) is None
    np.testing.assert_allclose(right_to_left(make_stack([[0, 0, 0]], [0.8, 0.6, 0])), [-0.8, -0.6, 0])


# --- what a person says ------------------------------------------------------------------------------------------------


def overruled(folder, text):
    (folder.parent / "views.yml").write_text(text)
    return index(folder, views=folder.parent / "views.yml")


def test_planes_are_given_to_a_folder_or_a_file(tmp_path):
    exam = write_knee(tmp_path / "data" / "case7")
    write_series(exam / "AX_second", "axial", number=2, slices=7, turn=oblique(6, (1, 0, 0)))
    result = overruled(tmp_path / "data", "case7:\n  axial: AX_second\n  coronal: none\n")
    assert series_of(result)["axial"] == "AX_second"
    planes = items_of(result)[0]["planes"]
    assert list(planes) == ["axial"]
    # a folder stands for its central slice
    normal = np.array(planes["axial"]["normal"])
    assert np.dot(normal, planes["axial"]["origin"]) == pytest.approx(np.dot(normal, (60, 5, -20)), abs=1e-3)
    result = overruled(tmp_path / "data", "case7:\n  axial: AX_second/IM-0002-0001.dcm\n")
    assert abs(np.dot(normal, items_of(result)[0]["planes"]["axial"]["origin"]) - np.dot(normal, (60, 5, -20))) > 11


def test_a_plane_whose_normal_is_that_of_another_is_said(tmp_path):
    write_knee(tmp_path / "data" / "case7")
    result = overruled(tmp_path / "data", "case7:\n  axial: COR_PD_FS\n  coronal: AX_T2_FS\n")
    assert series_of(result)["axial"] == "COR_PD_FS", "the person's choice is used"
    for view, other in (("axial", "coronal"), ("coronal", "axial")):
        assert finding("chosen-unlike", view, normal=other) in left_out(result)


def test_the_sagittal_stack_can_be_said_whatever_its_contrast(tmp_path):
    exam = write_knee(tmp_path / "data" / "case7")
    write_series(exam / "SAG_PD", "sagittal", number=2, **PD)
    result = overruled(tmp_path / "data", "case7:\n  sagittal: SAG_PD\n")
    assert series_of(result)["sagittal"] == "SAG_PD"
    with pytest.raises(InputError):
        overruled(tmp_path / "data", "case7:\n  sagittal: none\n")


def test_a_plane_parallel_to_the_sagittal_stack_is_left_out(tmp_path):
    """The recognition cannot cause this, but a user who names the sagittal stack can."""
    exam = write_knee(tmp_path / "data" / "case7")
    write_series(exam / "COR_T2", "coronal", number=9, slices=9, turn=oblique(3, (1, 0, 0)))
    result = overruled(tmp_path / "data", "case7:\n  sagittal: COR_T2\n")
    assert set(items_of(result)[0]["planes"]) == {"axial"}
    assert {finding("stack-parallel", "coronal"), finding("no-right-and-left")} <= {*left_out(result)}
    assert "location" not in items_of(result)[0]


def test_views_of_hearts_are_no_views_of_knees(tmp_path):
    write_knee(tmp_path / "data" / "case7")
    with pytest.raises(InputError, match="axial, coronal, sagittal"):
        overruled(tmp_path / "data", "case7:\n  4ch: AX_T2_FS\n")


def test_classes_of_knees(tmp_path):
    write_knee(tmp_path / "data" / "case7")
    (tmp_path / "classes.csv").write_text("exam,abnormal,acl,meniscus\ncase7,1,0,1\n")
    result = index(tmp_path / "data", classes=tmp_path / "classes.csv")
    assert {(item["abnormal"], item["acl"], item["meniscus"]) for item in items_of(result)} == {(1, 0, 1)}
    assert result.unmatched == []


# --- for inference -----------------------------------------------------------------------------------------------------


def test_stacks_of_a_knee(tmp_path):
    (stack,) = find_stacks(write_knee(tmp_path), view="sagittal")
    assert (stack.stack, stack.phase, stack.why_not) == ("sagittal", 0.0, [])
    assert list(stack.planes) == ["axial", "coronal"]
    expected = items_of(index(tmp_path))
    assert [entry["image"] for entry in stack.slices] == [item["image"] for item in expected]
    assert [entry["location"] for entry in stack.slices] == [item["location"] for item in expected]


def test_a_folder_without_a_sagittal_stack_is_not_recognised(tmp_path):
    write_series(tmp_path / "AX_T2_FS", "axial")
    (stack,) = find_stacks(tmp_path, view="sagittal")
    assert (stack.stack, stack.why_not) == ("unknown", [finding("no-sagittal-stack")])
    assert len(stack.slices) == 11
