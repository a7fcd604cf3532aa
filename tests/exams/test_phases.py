"""Test that images which may be missing from a cine are noticed, and that no mask meets another time point."""

import json

import numpy as np
import pytest
from planewise.exams import find_inputs, find_stacks, index_folder
from planewise.exams.stacks import build_stacks, still

from tests.exams.conftest import write_usual_exam
from tests.exams.test_labels import stack_affine, write_mask
from tests.exams.test_stacks import frame
from tests.exams.told import flags

PHASES = 5


def cine(gone=(), cycle=0, times=True):
    """The stack of a cine of four slices, without the images ``gone``, (slice, phase); ``cycle``: the header's number."""
    (stack,) = build_stacks(
        [
            frame(
                10.0 * rank,
                path=f"/{rank}/{phase}",
                trigger=(1 + 0.03 * rank) * (15 + 160.0 * phase) if times else None,
                series=str(rank),
                instance=1 + phase,
                cycle=cycle,
            )
            for rank in range(4)
            for phase in range(PHASES)
            if (rank, phase) not in gone
        ]
    )
    return stack


EVERY = range(4)


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("cycle", [0, PHASES])
@pytest.mark.parametrize(
    ("gone", "noticed"),
    [
        ([], (False, False)),
        ([(2, 4)], (True, True)),
        ([(2, 0)], (True, True)),
        ([(rank, rank) for rank in EVERY], (False, True)),
        ([(rank, 4) for rank in EVERY], (False, True)),
        ([(rank, 0) for rank in EVERY], (False, True)),
    ],
)
def test_images_that_are_missing_are_noticed(gone, noticed, cycle, times):
    """Slices with fewer images than others, or all with fewer than the header says."""
    stack = cine(gone, cycle, times)
    assert bool(flags(stack)) == (noticed[bool(cycle)] or (times and gone == [(rank, rank) for rank in EVERY]))
    assert not flags(still(stack))


def test_a_gap_in_the_times_is_noticed():
    assert flags(cine([(rank, 2) for rank in EVERY])) and not flags(cine([(rank, 2) for rank in EVERY], times=False))


def kept_of_20(kept, **values):
    """The stack of a cine of 20 phases, 40 ms apart, of which only some were kept."""
    values = {"cycle": 20} | values
    frames = [
        frame(10.0 * rank, path=f"/{rank}/{k}", trigger=40.0 * k, series=str(rank), instance=1 + k, **values)
        for rank in range(4)
        for k in sorted(kept)
    ]
    (stack,) = build_stacks(frames)
    return stack


@pytest.mark.parametrize("heartbeat", [0.0, 800.0])
@pytest.mark.parametrize(
    ("kept", "doubtful"),
    [
        (range(0, 20, 4), False),
        (range(0, 20, 2), False),
        ({0, 8}, False),
        (range(15), True),
        (range(12, 20), True),
        (range(3), True),
    ],
)
def test_a_cine_that_was_cut_off_is_told_from_one_that_somebody_shortened(kept, doubtful, heartbeat):
    """An exam may be shortened to every fourth phase, or to end-diastole and end-systole."""
    assert bool(flags(kept_of_20(kept, heartbeat=heartbeat))) is doubtful


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
    for found in ([stack.slices for stack in stacks], [item["image"] for item in find_inputs(path, "all", "all")]):
        assert len(found) == 6
        for phase, entries in enumerate(found):
            assert max(abs(entry["phase"] - phase / 6) for entry in entries) < 1 / 6


def test_slices_of_a_datalist_that_lack_different_phases_are_paired_by_time(tmp_path):
    """Each slice lacks one phase, so the same number means another time."""
    entries = [
        {"image": f"/{rank}_{phase}.dcm", "exam": "a", "stack": "sax", "affine": np.eye(4).tolist(), "slice": rank}
        | {"phase": phase / PHASES}
        for rank in range(4)
        for phase in range(PHASES)
        if (rank, phase) not in {(0, 1), (1, 2), (2, 3), (3, 3)}
    ]
    sections = {"training": [], "validation": [], "test": entries}
    (tmp_path / "list.json").write_text(json.dumps({"planewise": {"version": 1}, **sections}))
    second = find_inputs(tmp_path / "list.json", "all")[1]
    times = [round(PHASES * item["phase"]) for item in second["image"]]
    # most slices have phase 1; the first lacks it, and the neighbours are equally near
    assert times[1:] == [1, 1, 1] and times[0] in (0, 2)
