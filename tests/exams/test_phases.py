"""Test that images which may be missing from a cine are noticed, and that no mask meets another time point."""

import pytest
from planewise.exams import find_inputs, find_stacks, index_folder
from planewise.exams.stacks import build_stacks, still

from tests.exams.conftest import write_usual_exam
from tests.exams.test_labels import stack_affine, write_mask
from tests.exams.test_stacks import frame
from tests.exams.told import flags

PHASES = 5


def cine(gone=()):
    """The stack of a cine of four slices, without the images ``gone``, (slice, phase)."""
    (stack,) = build_stacks(
        [
            frame(
                10.0 * rank,
                path=f"/{rank}/{phase}",
                trigger=(1 + 0.03 * rank) * (15 + 160.0 * phase),
                series=str(rank),
                instance=1 + phase,
            )
            for rank in range(4)
            for phase in range(PHASES)
            if (rank, phase) not in gone
        ]
    )
    return stack


@pytest.mark.parametrize("gone", [(), [(2, 4)], [(2, 0)]])
def test_images_that_a_slice_lacks_are_noticed(gone):
    stack = cine(gone)
    assert bool(flags(stack)) == bool(gone)
    assert not flags(still(stack))


def test_a_mask_meets_the_same_time_point_or_none(tmp_path):
    """A slice without one of six files gets no mask, because it is unknown which of its images a mask belongs to."""
    folder = write_usual_exam(tmp_path / "exam")
    next(folder.glob("sax_3/*-0002.dcm")).unlink()
    plain = index_folder(folder)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    write_mask(tmp_path / f"masks/{exam}_frame02.nii.gz", affine, shape)
    result = index_folder(folder, labels_dir=tmp_path / "masks")
    items = [item for section in ("training", "validation", "test") for item in result.datalist[section]]
    labelled = {item["slice"] for item in items if "label" in item}
    short = {rank for rank in range(shape[2]) if sum(item["slice"] == rank for item in items) == 5}
    assert len(short) == 1 and labelled == set(range(shape[2])) - short
    # inference takes the nearest phase of this slice, from files and from the datalist, and says so
    path = result.write(tmp_path / "list.json")
    stacks = find_stacks(folder, phases="all")
    assert len(flags(stacks[0])) == 1
    for found in ([stack["image"] for stack in stacks], [item["image"] for item in find_inputs(path, "all", "all")]):
        assert len(found) == 6
        for phase, entries in enumerate(found):
            assert max(abs(entry["phase"] - phase / 6) for entry in entries) < 1 / 6
