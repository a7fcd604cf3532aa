"""Test MRNet's layout: 8-bit volumes without geometry, in two parts, and tables without headers."""

import csv

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_LABELLED, Recipe, write_exams
from planewise.workshop.phantoms.layouts import MrNet, stretched
from planewise.workshop.phantoms.painting import image_points

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
