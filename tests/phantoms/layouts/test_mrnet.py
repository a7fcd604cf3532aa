"""Test MRNet's layout: 8-bit volumes without geometry, in two parts, and tables without headers."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_LABELLED, Recipe, write_exams
from planewise.workshop.phantoms.imaging import image_points
from planewise.workshop.phantoms.layouts import MrNet, stretched

SMALL = KNEE_LABELLED.at_size("demo").with_values(matrix=32)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe("mrnet", seed=2, population=SMALL)


@pytest.fixture(scope="module")
def tree(recipe, tmp_path_factory):
    """Root of a tree with eleven exams, of which one is in the second part."""
    root = tmp_path_factory.mktemp("mrnet")
    list(write_exams(recipe, root, 11))
    return root


def _rows(path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_parts_have_the_real_sets_sizes_and_numbers():
    places = [MrNet().place(number) for number in range(1, 1251)]
    train, valid = ([name for part, name in places if part == wanted] for wanted in ("train", "valid"))
    assert train == [f"{number:04d}" for number in range(1130)]
    assert valid == [f"{number:04d}" for number in range(1130, 1250)]
    assert len({MrNet().place(number) for number in range(1, 3000)}) == 2999
    # a few exams are enough to have both parts
    assert {part for part, _ in places[:11]} == {"train", "valid"}


def test_volumes_are_8_bits_and_all_of_them(tree):
    paths = sorted(tree.rglob("*.npy"))
    assert [str(path.relative_to(tree)) for path in paths] == [
        *(f"train/sagittal/{number:04d}.npy" for number in range(10)), "valid/sagittal/1130.npy",
    ]  # fmt: skip
    for path in paths:
        volume = np.load(path)
        assert volume.dtype == np.uint8 and volume.shape[1:] == (32, 32) and 13 <= len(volume) <= 22
        assert volume.min() == 0 and volume.max() == 255


def test_tables_have_no_header_and_keep_zeros(tree, recipe):
    for task in ("abnormal", "acl", "meniscus"):
        rows = _rows(tree / f"train-{task}.csv")
        assert [name for name, _ in rows] == [f"{number:04d}" for number in range(10)]
        assert {label for _, label in rows} <= {"0", "1"}
        assert [name for name, _ in _rows(tree / f"valid-{task}.csv")] == ["1130"]
    for number in range(1, 12):
        part, name = MrNet().place(number)
        labels = recipe.exam(number).findings.labels
        for task, label in labels.items():
            assert [name, str(label)] in _rows(tree / f"{part}-{task}.csv")


def test_head_is_up_and_front_is_left(tree, recipe):
    """The kneecap is left of the middle and above the joint; the vessels are right of the middle."""
    exam = recipe.exam(1)
    pose = exam.poses["sagittal"][len(exam.poses["sagittal"]) // 2]
    protocol = exam.scanner.protocols["sagittal"]
    to_pixels = np.linalg.inv(pose.affine((protocol.spacing,) * 2, protocol.matrix, 1.0))
    knee = exam.knee
    kneecap, tuberosity, vessel = (
        (to_pixels @ np.append(knee.to_patient(place), 1))[:2]
        for place in (knee.out_of("patella", knee.patella_centre), knee.landmarks["tuberosity"], (5, -45, 0))
    )
    assert kneecap[0] < vessel[0] - 8
    assert kneecap[1] < tuberosity[1] - 8


def test_pixels_and_slices_lie_in_the_volume_as_they_were_scanned(tree, recipe):
    """Slices in the stack's order, rows downwards, columns from the front, as in `Exam.volume`, and not mirrored."""
    exam = recipe.exam(1)
    written, pose = np.load(tree / "train/sagittal/0000.npy").astype(float), exam.poses["sagittal"]
    assert len(written) == len(pose)
    protocol = exam.scanner.protocols["sagittal"]
    for rank in (1, len(pose) // 2, len(pose) - 2):
        points = image_points(pose[rank], protocol.spacing, protocol.matrix)[0]
        local = exam.knee.to_local(points)
        signal, _ = exam.leg.paint(tuple(local[..., axis] for axis in range(3)), protocol.contrast, protocol.spacing)
        likeness = {
            name: np.corrcoef(signal.ravel(), picture.ravel())[0, 1]
            for name, picture in (
                ("as scanned", written[rank]),
                ("upside down", written[rank][::-1]),
                ("mirrored", written[rank][:, ::-1]),
                ("transposed", written[rank].T),
                ("numbered from the other end", written[-1 - rank]),
            )
            if not (name.startswith("numbered") and rank == len(pose) - 1 - rank)
        }
        assert max(likeness, key=likeness.get) == "as scanned", likeness


def test_volumes_are_stretched_over_8_bits():
    # a ramp of 1001 values: the lowest 0.5 % become 0 and the brightest 0.2 % become 255
    ramp = np.arange(1001.0)
    found = stretched(ramp)
    assert found.dtype == np.uint8 and (found[:6] == 0).all() and (found[998:] == 255).all()
    assert found[500] == round((500 - 5) * 255 / (998 - 5))


def test_paper_size_is_256_and_its_slice_counts_the_real_ones():
    recipe = Recipe("mrnet", 1, KNEE_LABELLED)
    exams = [recipe.exam(number) for number in range(1, 40)]
    assert {exam.scanner.protocols["sagittal"].matrix for exam in exams} == {(256, 256)}
    counts = [len(exam.poses["sagittal"]) for exam in exams]
    assert min(counts) >= 17 and max(counts) <= 61 and 24 <= np.median(counts) <= 42


def test_all_planes_on_demand(recipe, tmp_path):
    more = Recipe("mrnet", 2, SMALL.with_values(views=3))
    list(write_exams(more, tmp_path, 1))
    assert sorted(path.parent.name for path in tmp_path.rglob("*.npy")) == ["axial", "coronal", "sagittal"]
    # sagittal volumes are the same with or without other planes
    one = np.load(next(tmp_path.rglob("sagittal/*.npy")))
    assert len(one) == len(recipe.exam(1).poses["sagittal"])


def test_resumes_where_it_stopped(recipe, tmp_path, tree):
    list(write_exams(recipe, tmp_path, 2))
    # a killed run leaves partial files under another name, and possibly no tables
    (tmp_path / "train/sagittal/.0002.npy.partial").write_bytes(b"half")
    (tmp_path / "train-acl.csv").unlink()
    assert dict(write_exams(recipe, tmp_path, 3)) == {1: False, 2: False, 3: True}
    assert sorted(path.name for path in tmp_path.rglob("sagittal/*")) == ["0000.npy", "0001.npy", "0002.npy"]
    for path in tmp_path.rglob("*.npy"):
        assert path.read_bytes() == (tree / path.relative_to(tmp_path)).read_bytes()
    assert _rows(tmp_path / "train-acl.csv") == _rows(tree / "train-acl.csv")[:3]
    # a missing plane is written again
    more = replace(recipe, population=SMALL.with_values(views=2))
    list(write_exams(more, tmp_path / "two", 1))
    (tmp_path / "two/train/coronal/0000.npy").unlink()
    assert dict(write_exams(more, tmp_path / "two", 1)) == {1: True}
    # writing fewer exams than before keeps the other exams' rows
    list(write_exams(recipe, tmp_path, 1))
    assert len(_rows(tmp_path / "train-acl.csv")) == 3


def test_small_sets_have_both_labels(tree):
    labels = {task: [row[1] for row in _rows(tree / f"train-{task}.csv")] for task in ("abnormal", "acl", "meniscus")}
    assert all(set(found) == {"0", "1"} for found in labels.values())
