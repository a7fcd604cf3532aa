"""Test that frames are grouped into exams and stacks."""

import random
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planewise.exams import index_folder
from planewise.exams.frame import Frame
from planewise.exams.grouping import group_exams
from planewise.exams.labels import exam_names
from planewise.exams.scan import scan_folder
from planewise.exams.stack import Stack
from planewise.exams.stacks import build_stacks, still
from planewise.files.identity import hashed, load_salt
from planewise.findings import finding

from tests.exams.conftest import write_usual_exam
from tests.exams.files import write_cine
from tests.exams.hearts import USUAL_AXIS, make_frame, rotation
from tests.exams.told import codes, flags, notes

REPEATED = finding("slices-other-images", count=1, kind="repeated")


def stacks_of(folder: Path) -> list[Stack]:
    found = scan_folder(folder)
    (exam,) = group_exams(found.frames, found.folder)
    return exam.stacks


def frame(position=0.0, normal=(0, 0, 1), **values) -> Frame:
    """A frame as in a header, ``position`` mm along ``normal``."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    u = np.cross(normal, [0.3, 0.8, 0.1])
    u /= np.linalg.norm(u)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = 2 * u, 2 * np.cross(normal, u), normal
    affine[:3, 3] = position * normal
    return make_frame(**({"path": f"/data/{random.random()}.dcm", "affine": affine.tolist()} | values))


@given(st.permutations(range(12)))
def test_positions_decide_the_order_not_names_or_numbers(order):
    frames = [frame(10.0 * (k // 3), trigger=20.0 * (k % 3), instance=99 - k, sop=str(k)) for k in range(12)]
    (stack,) = build_stacks([frames[k] for k in order])
    assert [len(entry.phases) for entry in stack.slices] == [3, 3, 3, 3]
    assert stack.gaps == pytest.approx([10, 10, 10])
    names = [[one.sop for one in entry.phases] for entry in stack.slices]
    assert names == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"], ["9", "10", "11"]]


def test_without_trigger_times_instance_numbers_order_the_phases():
    (stack,) = build_stacks([frame(instance=number) for number in (3, 1, 2)])
    assert [one.instance for one in stack.slices[0].phases] == [1, 2, 3]


@pytest.mark.parametrize("where", ["instance", "frame"])
@pytest.mark.parametrize(
    ("numbers", "slices"), [((1, 2, 3), 0), ((3, 2, 1), 2), ((2, 3, 1), 2), ((0, 0, 0), 0), ((2, 1, 1), 0)]
)
def test_trigger_times_that_contradict_the_images_order_are_noted(numbers, slices, where):
    usual = {"path": "/data/1.dcm", "instance": 0}
    images = [(8.0 * z, k, usual | {where: number}) for z in range(2) for k, number in enumerate(numbers)]
    images += [(16.0, k, usual | {where: 9 + k}) for k in range(3)]
    (stack,) = build_stacks([frame(place, trigger=40.0 * k, **values) for place, k, values in images])
    assert [one.trigger for one in stack.slices[0].phases] == [0, 40, 80]
    note = finding("phases-order", kind="contradicted", times="trigger times", count=slices)
    assert stack.findings == [note] * bool(slices)
    assert "phases-order" not in codes(still(stack).findings)


def test_a_file_without_trigger_times_has_none_that_contradict_its_frames():
    (stack,) = build_stacks([frame(path="/data/1.dcm", instance=100_000 * k, frame=9 - k) for k in range(1, 4)])
    assert [one.frame for one in stack.slices[0].phases] == [8, 7, 6] and not notes(stack)


@pytest.mark.parametrize(
    ("numbers", "acquired", "made", "order", "note"),
    [
        ((1, 2, 3, 4), "1234", "1234", [0, 1, 2, 3], None),
        ((3, 1, 2, 4), "1234", "", [0, 1, 2, 3], "contradicted"),
        ((4, 3, 2, 1), "1234", "", [0, 1, 2, 3], "backwards"),
        ((3, 4, 1, 2), "1234", "", [2, 3, 0, 1], None),  # midnight, or numbers that begin in systole
        ((1, 2, 3, 4), "1111", "4132", [0, 1, 2, 3], None),  # images of a retrospective cine, made in another order
        ((1, 2, 3, 4), "", "4132", [0, 1, 2, 3], None),
        ((1, 2, 4, 3), ("114700", "031500.5", "201500", "180000"), "", [0, 1, 3, 2], "scattered"),
        ((1, 2, 4, 3), ("114700", "114000", "115000", "114900"), "", [0, 1, 3, 2], "scattered"),
        (
            (4, 3, 2, 1),
            ("20260101235959.5", "20260102000001", "20260102000002", "20260102000003+0100"),
            "",
            [0, 1, 2, 3],
            "backwards",
        ),
        ((0, 0, 0, 0), ("114700", "031500.5", "201500", "180000"), "", [1, 0, 3, 2], "unnumbered"),
        ((1, 2, 3, 4), "1142", "", [0, 1, 2, 3], None),
        ((0, 0, 0, 0), "2143", "1234", [1, 0, 3, 2], "unnumbered"),
        ((0, 0, 0, 0), "1111", "2143", [1, 0, 3, 2], "unnumbered"),
        ((0, 0, 0, 0), "1111", "", [0, 1, 2, 3], "unordered"),
    ],
)
def test_times_order_a_cine_if_numbers_contradict_them_or_are_missing(numbers, acquired, made, order, note):
    frames = [
        frame(8.0 * z, path=f"/{z}/{k + 8}", series=str(z), instance=number, clocks=(when, at))
        for z in range(2)
        for k, (number, when, at) in enumerate(zip(numbers, acquired or [""] * 4, made or [""] * 4, strict=True))
    ]
    (stack,) = build_stacks(frames[::-1])
    assert [one.path for entry in stack.slices for one in entry.phases] == [
        f"/{z}/{k + 8}" for z in range(2) for k in order
    ]
    assert [each["kind"] for each in stack.findings] == [note] * bool(note)
    assert len(flags(stack)) == (note in ("unordered", "backwards"))
    assert still(stack).findings == [finding("slices-several-images", count=2)]


@pytest.mark.parametrize(
    ("step", "pause", "found"),
    [(0.05, 30, [5, 6, 7, 8, 9]), (0, 30, [5, 6, 7, 8, 9]), (0.05, 4, [*range(10)]), (6, 12, [*range(10)])],
)
def test_images_without_numbers_of_two_acquisitions_are_separated_by_their_pause(step, pause, found):
    times = [114700 + step * (k - k // 5) + pause * (k // 5) for k in range(10)]
    frames = [frame(path=f"/{k}", series="1", instance=0, clocks=("", f"{time:.2f}")) for k, time in enumerate(times)]
    (stack,) = build_stacks(frames[::2] + frames[1::2])
    assert sorted(int(one.path[1:]) for one in stack.slices[0].phases) == found
    assert (REPEATED in notes(stack)) == (len(found) == 5)


@pytest.mark.parametrize(
    ("numbers", "temporal", "order"),
    [
        ((3, 1, 4, 2), (1, 2, 3, 4), [0, 1, 2, 3]),
        ((0, 0, 0, 0), (2, 1, 4, 3), [1, 0, 3, 2]),
        ((3, 1, 4, 2), (1, 1, 1, 1), [1, 3, 0, 2]),
        ((3, 1, 4, 2), (0, 1, 2, 3), [1, 3, 0, 2]),
    ],
)
def test_temporal_positions_order_a_cine_without_trigger_times(tmp_path, numbers, temporal, order):
    paths = write_cine(tmp_path, (0, 0, 0), (0, 0, 1), phases=4)
    for path, number, position in zip(paths, numbers, temporal, strict=True):
        header = pydicom.dcmread(path)
        del header.TriggerTime
        header.InstanceNumber, header.TemporalPositionIdentifier = number, position
        header.save_as(path)
    (stack,) = build_stacks(scan_folder(tmp_path).frames)
    assert [one.path for one in stack.slices[0].phases] == [str(paths[k]) for k in order]
    said = finding("phases-order", kind="contradicted", times="temporal positions", count=1)
    assert notes(stack) == [said] * (order == [0, 1, 2, 3])


@pytest.mark.parametrize(("phases", "runs"), [(10, 2), (6, 4), (2, 20)])
def test_temporal_positions_of_a_repeated_cine_count_as_phases_unless_there_are_few(phases, runs):
    """A dynamic series may have the number of the acquisition as its temporal position."""
    frames = [
        frame(temporal=k + 1, instance=phases * run + 7 * k % phases, sop=str(run))
        for run in range(runs)
        for k in range(phases)
    ]
    (stack,) = build_stacks(frames[::-1])
    found = [(one.temporal, one.sop) for one in stack.slices[0].phases]
    assert phases == 2 or found == [(k + 1, str(runs - 1)) for k in range(phases)]
    assert len(found) == (40 if phases == 2 else phases)


def test_each_acquisition_of_a_repeated_cine_is_in_order_of_its_times():
    """The numbers separate the acquisitions; only then is the order within each acquisition known."""
    frames = [
        frame(instance=number, acquired=(f"{run}{time}", 0, 0, ()), clocks=(f"{run}{time}", ""), sop=f"{run}{time}")
        for run in (1, 2)
        for number, time in enumerate((3, 1, 4, 2))
    ]
    (stack,) = build_stacks(frames)
    assert [one.sop for one in stack.slices[0].phases] == ["21", "22", "23", "24"]
    assert "phases-order" in codes(notes(stack))


@pytest.mark.parametrize(("count", "number"), [(2, 0), (3, 7)])
def test_images_with_one_number_are_copies(count, number):
    (stack,) = build_stacks([frame(instance=number) for _ in range(count)])
    assert notes(stack) == [REPEATED]


@pytest.mark.parametrize(
    ("tags", "clocks"),
    [
        ({}, ("20260101100000.5", "110000")),
        ({"AcquisitionTime": "1000", "ContentTime": "91500"}, ("20260101100000", "091500")),
        (
            {"AcquisitionDate": "2026.01.01", "AcquisitionTime": "10:00:01", "ContentTime": "11"},
            ("20260101100001", "110000"),
        ),
        ({"AcquisitionTime": "none", "ContentTime": "1:2:3"}, ("", "")),
        ({"AcquisitionDateTime": "202512312359+0100"}, ("20251231235900+0100", "110000")),
        ({"AcquisitionDateTime": "20251231"}, ("20260101100000.5", "110000")),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_times_of_an_image_are_read(tags, clocks, tmp_path):
    when = {"AcquisitionDate": "20260101", "AcquisitionTime": "100000.5", "ContentTime": "110000"}
    write_cine(tmp_path, (0, 0, 0), (0, 0, 1), phases=1, **(when | tags))
    (one,) = scan_folder(tmp_path).frames
    assert one.clocks == clocks and one.acquired[0] == next(filter(None, clocks), "")


def test_thick_slabs_a_little_apart_are_slices_of_their_own():
    (stack,) = build_stacks([frame(5.0 * k, thickness=40.0, gated=False) for k in range(6)])
    assert len(stack.slices) == 6


def test_a_series_per_slice_makes_one_stack():
    (stack,) = build_stacks([frame(8.0 * k, series=str(k)) for k in range(6)])
    assert len(stack.slices) == 6


def test_orientations_inside_one_series_are_stacks_of_their_own():
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    stacks = build_stacks([frame(15.0 * k, normal=axis, instance=k) for axis in axes for k in range(3)])
    assert sorted(len(stack.slices) for stack in stacks) == [3, 3, 3]


@given(st.integers(0, 10**6))
def test_rounded_headers_stay_together(seed):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=3)
    frames = [frame(10.0 * k, normal=normal) for k in range(5)]
    for one in frames:
        rounded = np.array(one.affine)
        rounded[:3, :2] = np.round(rounded[:3, :2] / 2, 4) * 2 * (1 + rng.uniform(-5e-4, 5e-4))
        one.affine = rounded.tolist()
    (stack,) = build_stacks(frames)
    assert len(stack.slices) == 5


def test_an_image_between_two_pixel_spacings_joins_the_majority():
    frames = []
    for count, factor in ((1, 1.00175), (3, 1.0035), (7, 1.0)):
        for _ in range(count):
            one = frame(10.0 * len(frames))
            affine = np.array(one.affine)
            affine[:3, :2] *= factor
            frames.append(replace(one, affine=affine.tolist()))
    assert sorted(len(stack.slices) for stack in build_stacks(frames)) == [3, 8]


def test_planes_that_a_person_tells_apart_stay_apart():
    tilted = rotation([1, 0, 0], 3.0) @ np.array([0, 0, 1.0])
    assert len(build_stacks([frame(), frame(normal=tilted)])) == 2


@pytest.mark.parametrize("other", [{"rows": 28}, {"columns": 44}, {"kind": "phase"}])
def test_matrix_and_kind_keep_stacks_apart(other):
    assert len(build_stacks([frame(), frame(10.0, **other)])) == 2


def test_pixel_spacing_keeps_stacks_apart():
    wider = frame(10.0)
    affine = np.array(wider.affine)
    affine[:3, :2] *= 1.05
    assert len(build_stacks([frame(), replace(wider, affine=affine.tolist())])) == 2


def test_the_last_acquisition_of_a_slice_is_used():
    frames = [frame(10.0 * k, trigger=t, series=str(k), acquired=("", k, 0, ())) for k in range(3) for t in (0.0, 30.0)]
    again = [frame(10.4, trigger=t, series="9", acquired=("", 9, 0, ()), sop="again") for t in (0.0, 30.0)]
    (stack,) = build_stacks([*again, *frames])
    assert len(stack.slices) == 3
    assert {one.sop for one in stack.slices[1].phases} == {"again"}
    assert notes(stack) == [REPEATED]


def test_a_repeat_inside_one_series():
    first = [frame(trigger=t, instance=k, acquired=("10", 1, 0, ())) for k, t in enumerate((0.0, 30.0, 60.0))]
    second = [
        frame(trigger=t, instance=10 + k, acquired=("20", 1, 0, ()), sop="again")
        for k, t in enumerate((0.0, 30.0, 60.0))
    ]
    (stack,) = build_stacks([*second, *first])
    assert [one.sop for one in stack.slices[0].phases] == ["again"] * 3


def test_a_broken_off_repeat_does_not_replace_a_whole_slice():
    whole = [frame(trigger=30.0 * k, series="1", acquired=("", 1, 0, ())) for k in range(10)]
    broken = [frame(trigger=30.0 * k, series="2", acquired=("", 2, 0, ())) for k in range(2)]
    (stack,) = build_stacks([*whole, *broken])
    assert stack.phase_counts == (10, 10)
    assert notes(stack) == [finding("slices-other-images", count=1, kind="short")]


@pytest.mark.parametrize(
    ("count", "values", "triggers", "others"),
    [
        (40, {}, lambda k: 150.0, None),
        (40, {}, lambda k: 150.0 + k, None),
        (40, {}, lambda k: 900.0 * k, None),
        (20, {}, lambda k: None, "no-cine"),
        (8, {"sequence": "GR/IR"}, lambda k: 100.0 * k, None),
        (10, {"derived": True}, lambda k: 60.0 * k, "derived"),
        (4, {"derived": True}, lambda k: 60.0 * k, "short"),
    ],
)
def test_a_later_series_of_another_kind_does_not_replace_a_cine(count, values, triggers, others):
    cine = [frame(10.0 * z, trigger=60.0 * k, sop="cine") for z in range(4) for k in range(10)]
    later = {"series": "2", "acquired": ("", 9, 0, ()), **values}
    other = [frame(10.0 * z, trigger=triggers(k), instance=k, **later) for z in (1, 2) for k in range(count)]
    stack, *apart = build_stacks([*cine, *other])
    assert {one.sop for entry in stack.slices for one in entry.phases} == {"cine"}
    assert stack.findings == [finding("slices-other-images", count=2, kind=others)] * bool(others)
    assert len(apart) == (others is None)
    (alone,) = build_stacks(other)
    assert alone.phase_counts == (count, count) and not alone.is_cine and stack.is_cine


def test_a_derived_copy_with_trigger_times_does_not_replace_originals_without():
    frames = [
        frame(10.0 * z, trigger=60.0 * k if copy else None, instance=k, derived=copy, series=str(copy))
        for copy in (False, True)
        for z in range(3)
        for k in range(10)
    ]
    (stack,) = build_stacks(frames)
    assert not any(one.derived for entry in stack.slices for one in entry.phases)
    assert notes(stack) == [finding("slices-other-images", count=3, kind="derived")]


def test_of_two_copies_the_one_with_distortion_correction_is_used():
    frames = [
        frame(10.0 * z, trigger=60.0 * k, instance=k, uncorrected=nd, series=str(nd), acquired=("", nd, 0, ()))
        for nd in (False, True)
        for z in range(3)
        for k in range(10)
    ]
    (stack,) = build_stacks(frames)
    assert not any(one.uncorrected for entry in stack.slices for one in entry.phases) and len(notes(stack)) == 1
    (alone,) = build_stacks([one for one in frames if one.uncorrected])
    assert alone.is_cine and not notes(alone)


def test_perfusion_between_the_slices_of_a_cine_is_a_stack_of_its_own():
    cine = [frame(20.0 * z, trigger=60.0 * k, series=str(z)) for z in range(3) for k in range(12)]
    perfusion = [frame(20.0 * z + 10, trigger=150.0, instance=k, series="9") for z in range(3) for k in range(40)]
    # a few images, or images without trigger times, may be those of a cine
    few = [frame(60.0, trigger=20.0 * k, series="3") for k in range(6)]
    unknown = [frame(80.0, instance=k, series="4") for k in range(12)]
    stacks = build_stacks([*cine, *perfusion, *few, *unknown])
    assert sorted(len(stack.slices) for stack in stacks) == [3, 5]


def test_a_computed_image_in_the_series_of_a_cine_is_no_phase():
    cine = [frame(10.0 * z, trigger=60.0 * k, instance=k, series=str(z)) for z in range(3) for k in range(12)]
    means = [frame(10.0 * z, instance=12, series=str(z), derived=True) for z in range(3)]
    (stack,) = build_stacks([*cine, *means])
    assert stack.phase_counts == (12, 12) and not any(one.derived for one in stack.slices[0].phases)


@pytest.mark.parametrize(("unit", "said"), [(1, 0), (0.001, 1)])
def test_trigger_times_in_seconds_are_read(unit, said):
    (stack,) = build_stacks([frame(10.0 * z, trigger=unit * 40.0 * k) for z in range(3) for k in range(20)])
    assert [one.trigger for one in stack.slices[0].phases] == pytest.approx([40.0 * k for k in range(20)])
    assert stack.is_cine and codes(notes(stack)) == ["trigger-in-seconds"] * said


@pytest.mark.parametrize(("time", "said"), [(1.2, False), (4.2, True), (None, False)])
def test_a_cine_acquired_again_with_another_echo_time_is_doubtful(time, said):
    frames = [
        frame(10.0 * z, trigger=60.0 * k, series=series, acquired=("", number, 0, ()), echo_time=echo_time)
        for number, (series, echo_time) in enumerate((("1", 1.1), ("2", time)))
        for z in range(3)
        for k in range(6)
    ]
    (stack,) = build_stacks(frames)
    assert {one.series for entry in stack.slices for one in entry.phases} == {"2"}
    assert flags(stack) == [finding("echo-time-differs", count=3)] * said


@pytest.mark.parametrize(("first", "shift", "pairs"), [(0, 3, 11), (0, 5, 11), (2, 3, 4), (0, 8.5, 0)])
def test_a_stack_acquired_again_at_shifted_positions_is_noted(first, shift, pairs):
    """A stack with gaps that came as odd slices and then even slices is regular, and has no such note."""
    places = [*(10.0 * k for k in range(6)), *(10.0 * k + shift for k in range(first, 6 - first))]
    places = places if shift < 8 else [*places[:6:2], *places[1:6:2]]
    frames = [
        frame(place, trigger=30.0 * t, series=str(rank), acquired=("", rank, 0, ()), thickness=8.0, gated=True)
        for rank, place in enumerate(places)
        for t in range(3)
    ]
    (stack,) = build_stacks(frames)
    assert len(stack.slices) == len(places)
    assert [each["count"] for each in stack.findings if each.code == "slices-interleaved"] == [pairs] * bool(pairs)


def test_unequal_phases_stay_unequal_and_are_said():
    frames = [frame(10.0 * k, trigger=20.0 * t, series=str(k)) for k in range(4) for t in range(10 if k else 8)]
    (stack,) = build_stacks(frames)
    assert sorted(len(entry.phases) for entry in stack.slices) == [8, 10, 10, 10]
    assert not notes(stack) and len(flags(stack)) == 1


def test_a_slice_with_hardly_any_phases_is_left_out():
    frames = [frame(10.0 * k, trigger=20.0 * t, series=str(k)) for k in range(4) for t in range(10 if k else 1)]
    (stack,) = build_stacks(frames)
    assert len(stack.slices) == 3
    assert notes(stack) == [finding("slices-short", count=1, most=1, usual=10)]
    for phases, slices in ((5, 4), (4, 3)):
        frames = [
            frame(10.0 * k, trigger=20.0 * t, series=str(k)) for k in range(4) for t in range(10 if k else phases)
        ]
        assert len(build_stacks(frames)[0].slices) == slices, "half of the phases are enough"


def test_thin_slices_are_not_repeats():
    (stack,) = build_stacks([frame(0.6 * k, thickness=1.2, gated=False) for k in range(8)])
    assert len(stack.slices) == 8


def series_of(name, offset=0.0, slices=6, step=3.0, **values):
    usual = {"thickness": step, "gated": False, "series": name, "description": "dwi"}
    return [frame(offset + step * k, **(usual | {"instance": k} | values)) for k in range(slices)]


@pytest.mark.parametrize("weighting", [{"b_value": 1000.0}, {"acquisition": 2}, {"echo_time": 61.0, "series": "2"}])
def test_a_series_prescribed_again_a_little_further_on_is_a_stack_of_its_own(weighting):
    usual = {"b_value": 0.0, "acquisition": 1, "echo_time": 60.0, "series": "1"}
    shifted = series_of("1", 0.92, **(usual | weighting))
    stacks = build_stacks([*series_of("1", **usual), *shifted])
    assert [len(stack.slices) for stack in stacks] == [6, 6]
    for stack in stacks:
        assert stack.gaps == pytest.approx([3.0] * 5)


def test_concatenations_are_one_stack_and_shifted_ones_another():
    """Odd and even slices were acquired separately, in one series."""
    frames = [
        one
        for number, offset in ((1, 0.0), (2, 3.0), (3, 1.0), (4, 4.0))
        for one in series_of("1", offset, 4, 6.0, thickness=3.0, acquisition=number)
    ]
    assert [len(stack.slices) for stack in build_stacks(frames)] == [8, 8]


def test_images_of_one_place_are_apart_by_b_value_and_directions_stay():
    directions = [series_of("1", b_value=990.0 + 5 * k, instance=k, acquisition=k) for k in range(4)]
    stacks = build_stacks([*series_of("1", b_value=None, instance=9), *chain.from_iterable(directions)])
    assert sorted(stack.phase_counts for stack in stacks) == [(1, 1), (4, 4)]
    for other, apart in ((955.0, 1), (945.0, 2)):
        weighted = [series_of("1", b_value=value, instance=k, acquisition=k) for k, value in enumerate((1000.0, other))]
        assert len(build_stacks(list(chain.from_iterable(weighted)))) == apart, "5 % decide"


@pytest.mark.parametrize(
    ("times", "stacks"),
    [
        ({"echo_time": (60.0, 52.0)}, 1),
        ({"echo_time": (60.0, 48.0)}, 2),
        ({"repetition_time": (4000.0, 2600.0)}, 1),
        ({"repetition_time": (4000.0, 2200.0)}, 2),
    ],
)
def test_series_are_one_contrast_if_their_times_nearly_agree(times, stacks):
    """Echo times may differ by 15 %, and repetition times, which follow the number of slices, by 40 %."""
    first, second = ({key: pair[number] for key, pair in times.items()} for number in (0, 1))
    frames = [*series_of("1", 0.0, 4, 6.0, **first), *series_of("2", 3.0, 4, 6.0, **second)]
    assert len(build_stacks(frames)) == stacks


def test_echoes_of_a_series_are_stacks_and_echo_times_that_vary_are_not():
    echoes = [series_of("1", echo_time=time) for time in (20.0, 22.0, 24.0)]
    assert len(build_stacks(list(chain.from_iterable(echoes)))) == 3
    live = [series_of("1", slices=1, echo_time=1.2 + 0.002 * k, instance=k, acquisition=k) for k in range(9)]
    (stack,) = build_stacks(list(chain.from_iterable(live)))
    assert stack.phase_counts == (9, 9)


def test_a_cine_without_triggers_whose_slices_overlap_is_one_stack():
    live = [
        frame(3.0 * k, thickness=8.0, instance=phase, gated=False, series=str(k), acquisition=phase)
        for k in range(5)
        for phase in range(7)
    ]
    (stack,) = build_stacks(live)
    assert (len(stack.slices), stack.phase_counts) == (5, (7, 7))


def test_exams_are_studies_and_frames_of_reference(tmp_path):
    found = [
        frame(study="1"),
        frame(study="1", frame_of_reference="g"),
        frame(study="2"),
        frame(study="2", patient="q"),
    ]
    exams = group_exams(found, tmp_path)
    assert len(exams) == 4, "if two patients have the same study identifier, they are two studies"
    moved = [exam for exam in exams if exam.key.startswith("study:1")]
    assert all(exam.findings[0] == finding("several-frames-of-reference", count=2) for exam in moved)


def test_without_a_frame_of_reference_the_study_relates_and_it_is_said(tmp_path):
    (exam,) = group_exams([frame(frame_of_reference=""), frame(10.0, frame_of_reference="")], tmp_path)
    assert exam.findings == [finding("no-frame-of-reference", shared="study")]


def test_without_identifiers_the_folder_is_the_study(tmp_path):
    tags = {"StudyInstanceUID": None, "SeriesInstanceUID": None, "FrameOfReferenceUID": None, "PatientID": None}
    for exam in ("17", "18"):
        for name in ("sax_5", "sax_6", "sax_12", "4ch_2"):
            normal = [1, 0, 0.2] if name.startswith("4") else [0, 0.2, 1]
            position = int(name.split("_")[1])
            write_cine(tmp_path / "train" / exam / "study" / name, [0, 0, 5 * position], normal, phases=2, **tags)
    found = scan_folder(tmp_path)
    exams = group_exams(found.frames, found.folder)
    assert [exam.folder.parent.name for exam in exams] == ["17", "18"]
    assert [sorted(len(stack.slices) for stack in exam.stacks) for exam in exams] == [[1, 3]] * 2
    assert len({exam.patient_key for exam in exams}) == 2


def test_placeholders_for_patients_name_nobody(tmp_path):
    for nobody in ("", "Anonymous", "ANON_", "0000", "xxx", "N/A", "XXXXXX", "x", "0", "unknown", "De-Identified"):
        (exam,) = group_exams([frame(patient=nobody)], tmp_path)
        assert exam.patient_key == "study:s"
    (exam,) = group_exams([frame(patient="A-17")], tmp_path)
    assert exam.patient_key == "patient:A-17"


def test_copies_count_once(tmp_path):
    one = frame(sop="1.2.3")
    (exam,) = group_exams([one, replace(one, path="/elsewhere/copy.dcm")], tmp_path)
    assert len(exam.stacks[0].slices[0].phases) == 1
    assert exam.findings == [finding("images-copied", count=1)]
    # some anonymisers give all images one identifier
    others = [frame(10.0, sop="1.2.3"), replace(one, instance=2), replace(one, trigger=40.0), replace(one, frame=1)]
    (exam,) = group_exams([one, *others], tmp_path)
    assert exam.findings == []


@pytest.mark.parametrize("name", ["sax_5", "lax 3", "RVOT_1", "2ch_9", "Se3", "SER-12", "series7"])
def test_a_folder_named_like_a_series_lies_in_its_exams_folder(name, tmp_path):
    paths = [tmp_path / "study" / name / "1.dcm", tmp_path / "study/other/2.dcm", tmp_path / "study/3.dcm"]
    found = [
        frame(10.0 * k, study="", frame_of_reference="", patient="", path=str(path)) for k, path in enumerate(paths)
    ]
    exams = group_exams(found, tmp_path)
    assert {exam.key.partition("|")[0]: sum(len(stack.slices) for stack in exam.stacks) for exam in exams} == {
        "folder:study": 2,
        "folder:study/other": 1,
    }


def test_mixed_matrices_leave_the_longest_run(tmp_path):
    write_cine(tmp_path / "a", [0, 0, 0], USUAL_AXIS, slices=6, size=(24, 20))
    write_cine(tmp_path / "b", -30 * USUAL_AXIS, USUAL_AXIS, slices=2, size=(30, 30))
    assert sorted(len(stack.slices) for stack in stacks_of(tmp_path)) == [2, 6]


def test_what_a_stack_says_of_its_frames():
    """Voxels are those of an oblique affine; times and thicknesses are medians, which outliers do not change."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = 3 * np.array([2, 1, 2]) / 3, 1.5 * np.array([-2, 2, 1]) / 3
    frames = []
    for rank, (echo_time, repetition_time, thickness) in enumerate(
        [(60, 4000, 4), (61, 4100, 4), (68, 4700, 5), (None,) * 3]
    ):
        affine[:3, 3] = 10 * rank * np.array([-1, -2, 2]) / 3
        times = {"echo_time": echo_time, "repetition_time": repetition_time}
        frames.append(frame(affine=affine.tolist(), thickness=thickness, gated=False, **times))
    (stack,) = build_stacks(frames)
    assert stack.in_plane == pytest.approx((3, 1.5))
    assert stack.normal == pytest.approx(np.array([-1, -2, 2]) / 3)
    assert (stack.echo_time, stack.repetition_time, stack.thickness) == (61, 4100, 4)
    assert stack.gaps == pytest.approx([10, 10, 10])


def test_a_still_stack_keeps_the_image_that_was_acquired_last():
    frames = [frame(k / 100, instance=k, acquired=("", k, 0, ()), sop=str(k)) for k in (2, 3, 1)]
    (stack,) = build_stacks(frames)
    (entry,) = still(stack).slices
    assert [one.sop for one in entry.phases] == ["3"]
    assert entry.affine[:3, 3] == pytest.approx([0, 0, 0.03]), "the slice has the position of that image"
    assert len(stack.slices[0].phases) == 3, "the stack itself stays as it was"


@pytest.mark.parametrize(
    ("facts", "differ"),
    [
        ({"PatientSex": "F"}, []),
        ({"PatientSex": None, "PatientBirthDate": None}, []),
        ({"PatientSex": "M"}, ["sexes"]),
        ({"PatientSex": "M", "PatientBirthDate": "19700102"}, ["birth dates", "sexes"]),
        ({"PatientSex": "M", "PatientID": "P-2"}, []),
        ({"PatientSex": "M", "PatientID": "ANONYMOUS"}, []),
    ],
)
def test_two_people_with_one_number_are_noted(tmp_path, facts, differ):
    write_usual_exam(tmp_path / "a", phases=1, PatientSex="F")
    write_usual_exam(
        tmp_path / "b", **{"phases": 1, "StudyInstanceUID": "1.2.8", "FrameOfReferenceUID": "1.2.8.1", **facts}
    )
    exams = group_exams(scan_folder(tmp_path).frames, tmp_path)
    assert len(exams) == 2
    for exam in exams:
        told = [each for each in exam.findings if each.code == "patient-differs"]
        assert told == [finding("patient-differs", facts=differ)] * bool(differ)
        assert not any(value in str(each) for each in exam.findings for value in ("1961", "1970"))


@pytest.mark.parametrize(
    ("issuers", "keys"),
    [
        (("A", "B"), {"patient:P-1|issuer A", "patient:P-1|issuer B"}),
        (("A", "A"), {"patient:P-1"}),
        (("A", ""), {"patient:P-1"}),
    ],
)
def test_one_number_of_two_issuers_is_two_patients(tmp_path, issuers, keys):
    for number, issuer in enumerate(issuers, start=1):
        other = {"StudyInstanceUID": f"1.2.{number}", "FrameOfReferenceUID": f"1.3.{number}"}
        write_usual_exam(tmp_path / str(number), phases=1, IssuerOfPatientID=issuer, **other)
    exams = group_exams(scan_folder(tmp_path).frames, tmp_path)
    assert len(exams) == 2 and {exam.patient_key for exam in exams} == keys
    assert all("P-1" in exam_names(exam, tmp_path) for exam in exams)
    result = index_folder(tmp_path)
    entries, salt = result.datalist["exams"].values(), load_salt()
    assert len({entry["patient"] for entry in entries}) == len(keys)
    # another datalist may know the patient without the issuer
    alias = hashed("patient:P-1", salt)
    assert all(alias in (entry["patient"], *entry.get("aliases", ())) for entry in entries)


def test_patients_in_one_folder_without_identifiers_stay_apart(tmp_path):
    """Two patients in one flat folder must not become one exam with interleaved slices."""
    found = [
        frame(10.0 * place, study="", frame_of_reference="", patient=patient, path=str(tmp_path / f"{patient}{place}"))
        for patient in ("A-1", "B-2")
        for place in range(3)
    ]
    exams = group_exams(found, tmp_path)
    assert [len(stack.slices) for exam in exams for stack in exam.stacks] == [3, 3]
    assert [exam.patient_key for exam in exams] == ["patient:A-1", "patient:B-2"]
    assert len({exam.key for exam in exams}) == 2


def test_an_image_without_a_patient_belongs_to_the_study_it_names(tmp_path):
    (exam,) = group_exams([frame(patient=""), frame(10.0, patient="A-17")], tmp_path)
    assert (exam.key, exam.patient_key) == ("study:s|f", "patient:A-17")
