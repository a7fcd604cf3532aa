"""Test that shifts between breath-holds are corrected in the exams of a datalist."""

import json

import pytest
import torch
from planewise.data import AlignedExam, find_inputs, load_datalist, undo_breath_holds
from planewise.data.breath_holds import _why_not
from planewise.data.datalist import absolute_datalist
from planewise.errors import InputError
from planewise.exams.datalist import write_datalist
from planewise.exams.index import index_folder
from planewise.geometry import BreathHolds, relative_locations
from planewise.metrics.breath_holds import breath_hold_errors
from planewise.phantoms import UNLABELLED, Recipe, true_shifts, write_exams
from planewise.preprocessing import LoadSliced, LoadStackd

RECIPE = Recipe("dsbcc", 12, UNLABELLED.at_size("demo").with_values(phases=2, breath=3.0))


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("breaths")
    list(write_exams(RECIPE, folder / "exams", 1))
    return write_datalist(index_folder(folder / "exams", split=(1, 0, 0)).datalist, folder / "list.json")


@pytest.fixture(scope="module")
def aligned(indexed):
    content, found = undo_breath_holds(indexed)
    path = indexed.with_name("aligned.json")
    return write_datalist(content, path), found


def test_slices_come_nearer_to_their_true_places(aligned):
    _, (exam,) = aligned
    true = true_shifts(RECIPE.exam(1), dicom=True)
    true = torch.stack([torch.from_numpy(true[image]) for image in sorted(true, key=_datalist_order)])
    before, after = breath_hold_errors(torch.zeros_like(true), true), breath_hold_errors(exam.shifts, true)
    assert exam.why_not is None and exam.images == len(true)
    assert before.median() > 1.2 and after.median() < 0.6 and after.quantile(0.9) < 0.5 * before.quantile(0.9)
    assert exam.agreement[1] > exam.agreement[0]


def _datalist_order(image):
    view, rank = image
    return ["sax", "2ch", "4ch"].index(view), rank


def test_items_planes_and_locations_move_by_the_shifts(indexed, aligned):
    path, (exam,) = aligned
    before, after = ({item["image"]: item for item in load_datalist(where, "training")} for where in (indexed, path))
    content = json.loads(path.read_text())
    entry, old_entry = content["exams"][exam.exam], json.loads(indexed.read_text())["exams"][exam.exam]
    assert content["planewise"]["breath_holds"] == "undone" and entry["breath_holds"]["undone"]
    views = {view: torch.tensor(entry["stacks"][view]["items"][0]["shift"]) for view in ("2ch", "4ch")}
    for view, shift in views.items():
        moved = _origin(entry["stacks"][view]["items"][0]) - _origin(old_entry["stacks"][view]["items"][0])
        assert torch.allclose(moved, shift, atol=1e-6)
    count = exam.images - 2
    for image, item in after.items():
        old, shift = before[image], torch.tensor(item["shift"])
        # both phases of a slice are of one breath-hold
        assert torch.allclose(shift.double(), exam.shifts[item["slice"]], atol=1e-5)
        assert torch.allclose(_origin(item) - _origin(old), shift, atol=1e-5)
        for view, plane in item["planes"].items():
            moved = torch.tensor(plane["origin"]) - torch.tensor(old["planes"][view]["origin"])
            assert torch.allclose(moved, views[view], atol=1e-4)
            assert plane["normal"] == old["planes"][view]["normal"]
    first = sorted((item for item in after.values() if item["phase"] == 0), key=lambda item: item["slice"])
    assert len(first) == count
    normal = torch.linalg.cross(*torch.tensor(first[0]["affine"], dtype=torch.float64)[:3, :2].T)
    expected = relative_locations(torch.stack([_origin(item).double() for item in first]), normal / normal.norm())
    assert [item["location"] for item in first] == pytest.approx(expected.tolist(), abs=1e-5)


def test_loading_takes_the_moved_place_and_the_same_pixels(indexed, aligned):
    path, _ = aligned
    before, after = load_datalist(indexed, "training")[0], load_datalist(path, "training")[0]
    loaded = [LoadSliced("image")(item)["image"] for item in (before, after)]
    assert torch.equal(*[image.as_tensor() for image in loaded])
    listed = torch.tensor(after["affine"], dtype=torch.float64)
    assert torch.allclose(loaded[1].affine[:, [0, 1, 3]], listed[:, [0, 1, 3]], atol=1e-4)
    # without the shift the file contradicts the datalist, as for any other slice
    unexplained = {key: value for key, value in after.items() if key != "shift"}
    with pytest.raises(InputError, match="mm at a corner"):
        LoadSliced("image")(unexplained)
    (stack,) = find_inputs(path, section="training")
    volume = LoadStackd("image")(stack)
    expected = torch.stack([torch.tensor(item["affine"], dtype=torch.float64) for item in stack["image"]])
    assert torch.allclose(volume["slice_affines"][:, :3, 3], expected[:, :3, 3], atol=1e-4)


def test_an_exam_is_left_alone_where_images_do_not_say_enough(indexed, tmp_path, monkeypatch):
    content = json.loads(indexed.read_text())
    (name,) = content["exams"]
    for section in ("training", "validation", "test"):
        for item in content[section]:
            item["image"] = str(indexed.parent / item["image"])
            item["planes"] = {}
    for view in ("2ch", "4ch"):
        del content["exams"][name]["stacks"][view]
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(content))
    changed, (exam,) = undo_breath_holds(bare)
    assert exam.why_not == "It has no view that intersects the short axis."
    assert changed["exams"][name]["breath_holds"] == {"undone": False, "why_not": exam.why_not}
    assert changed["training"] == content["training"]
    monkeypatch.setattr("planewise.data.breath_holds.MOST_UNCERTAIN", 0.01)
    changed, (exam,) = undo_breath_holds(indexed)
    assert exam.why_not.startswith("Its intensities are not informative enough")
    assert not any("shift" in item for item in changed["training"])


def test_what_is_compared_is_each_slices_first_phase_with_its_thickness(indexed, tmp_path, monkeypatch):
    """Whatever the order of the items; the views come after the slices."""
    content = json.loads(indexed.read_text())
    (name,) = content["exams"]
    stacks = content["exams"][name]["stacks"]
    for item in content["training"] + [item for view in ("2ch", "4ch") for item in stacks[view]["items"]]:
        item["image"] = str(indexed.parent / item["image"])
    for view, thickness in (("sax", 8.5), ("2ch", 5.5), ("4ch", 6.5)):
        stacks[view]["thickness"] = thickness
    first = sorted((item for item in content["training"] if item["phase"] == 0), key=lambda item: item["slice"])
    content["training"].reverse()
    (tmp_path / "list.json").write_text(json.dumps(content))
    given = {}

    def shifts(images, affines, thickness):
        given.update(images=images, affines=affines, thickness=thickness)
        return BreathHolds(
            torch.zeros(len(images), 3), torch.ones(len(images)), torch.tensor([0.9]), torch.tensor([0.95])
        )

    monkeypatch.setattr("planewise.data.breath_holds.breath_hold_shifts", shifts)
    undo_breath_holds(tmp_path / "list.json")
    expected = [
        LoadSliced("image")(item)["image"] for item in [*first, stacks["2ch"]["items"][0], stacks["4ch"]["items"][0]]
    ]
    assert len(given["images"]) == len(expected)
    for image, affine, wanted in zip(given["images"], given["affines"], expected, strict=True):
        assert torch.equal(image, wanted.as_tensor()[0, ..., 0]) and torch.equal(affine, wanted.affine)
    assert given["thickness"].tolist() == [8.5] * len(first) + [5.5, 6.5]


#: Three slices 8 mm apart along x, and a view.
STACK = torch.eye(4, dtype=torch.float64)[[2, 0, 1, 3]].repeat(3, 1, 1)
STACK[:, 0, 3] = torch.tensor([0.0, 8, 16])


def of_an_exam(along_x=(0.0, 0, 0, 0), agreement=(0.5, 0.8), uncertainty=2.5):
    shifts = torch.zeros(4, 3, dtype=torch.float64)
    shifts[:, 0] = torch.tensor(along_x)
    return AlignedExam("ab12", 4, None, agreement, shifts, uncertainty)


@pytest.mark.parametrize(
    ("exam", "why_not"),
    [
        (of_an_exam(), None),
        (of_an_exam(agreement=None), "Its images do not intersect"),
        (of_an_exam(uncertainty=2.6), "uncertain by 2.6 mm, and the limit is 2.5 mm"),
        (
            of_an_exam(agreement=(0.9, 0.79)),
            "the correlation along their intersection lines is 0.79, and it must be at least 0.8",
        ),
        # nine tenths of 15 mm
        (of_an_exam((0, 0, 0, -13.4)), None),
        (of_an_exam((0, 0, 0, -13.6)), "near the search limit, 15 mm"),
        # 8 mm apart: 3.9 mm each towards the other is not enough to change places, 4.1 is
        (of_an_exam((3.9, -3.9, 0, 0)), None),
        (of_an_exam((4.1, -4.1, 0, 0)), "The shifts would change the order of the slices"),
        (of_an_exam((0, 0, -3.0, -13.0)), None),
    ],
)
def test_when_shifts_are_not_to_be_trusted(exam, why_not):
    found = _why_not(exam, STACK)
    assert found is None if why_not is None else why_not in found


def test_the_cached_content_of_a_datalist_stays_as_it_is(indexed):
    undo_breath_holds(indexed)
    assert "breath_holds" not in absolute_datalist(indexed)["planewise"]
    (entry,) = absolute_datalist(indexed)["exams"].values()
    assert "breath_holds" not in entry
    assert not any("shift" in item for item in absolute_datalist(indexed)["training"])


def test_what_cannot_be_aligned_is_refused(aligned, indexed, tmp_path):
    with pytest.raises(InputError, match=r"aligned\.json are already corrected"):
        undo_breath_holds(aligned[0])
    content = json.loads(indexed.read_text())
    content["planewise"]["stack"] = "sagittal"
    (tmp_path / "knee.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="contains the stack 'sagittal'"):
        undo_breath_holds(tmp_path / "knee.json")


def _origin(item):
    return torch.tensor(item["affine"])[:3, 3]
