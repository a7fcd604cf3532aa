"""Test that frames are grouped into exams and stacks."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planewise.exams import grouping
from planewise.exams.grouping import group_exams
from planewise.exams.scan import scan_folder
from planewise.exams.stack import Frame
from planewise.exams.stacks import build_stacks, still
from planewise.findings import finding

from tests.exams.files import write_cine
from tests.exams.hearts import make_frame
from tests.exams.told import notes

REPEATED = finding("images-not-used", count=1, kind="repeated")


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
    assert stack.in_plane == pytest.approx((2, 2), rel=1e-3), "mm along the image's own axes"


def test_the_last_acquisition_of_a_slice_is_used():
    frames = [frame(10.0 * k, trigger=t, series=str(k), acquired=("", k, 0, ())) for k in range(3) for t in (0.0, 30.0)]
    again = [frame(10.4, trigger=t, series="9", acquired=("", 9, 0, ()), sop="again") for t in (0.0, 30.0)]
    (stack,) = build_stacks([*again, *frames])
    assert len(stack.slices) == 3
    assert {one.sop for one in stack.slices[1].phases} == {"again"}
    assert notes(stack) == [REPEATED]


@pytest.mark.parametrize(
    ("count", "values", "triggers", "others"),
    [
        (40, {}, lambda k: 150.0, None),
        (40, {}, lambda k: 150.0 + k, None),
        (40, {}, lambda k: 900.0 * k, None),
        (20, {}, lambda k: None, "repeated"),
        (8, {"sequence": "GR/IR"}, lambda k: 100.0 * k, None),
        (10, {"derived": True}, lambda k: 60.0 * k, "repeated"),
        (4, {"derived": True}, lambda k: 60.0 * k, "repeated"),
    ],
)
def test_a_later_series_of_another_kind_does_not_replace_a_cine(count, values, triggers, others):
    cine = [frame(10.0 * z, trigger=60.0 * k, sop="cine") for z in range(4) for k in range(10)]
    later = {"series": "2", "acquired": ("", 9, 0, ()), **values}
    other = [frame(10.0 * z, trigger=triggers(k), instance=k, **later) for z in (1, 2) for k in range(count)]
    stack, *apart = build_stacks([*cine, *other])
    assert {one.sop for entry in stack.slices for one in entry.phases} == {"cine"}
    assert stack.findings == [finding("images-not-used", count=2, kind=others)] * bool(others)
    assert len(apart) == (others is None)
    (alone,) = build_stacks(other)
    assert alone.phase_counts == (count, count) and not alone.is_cine and stack.is_cine


def test_perfusion_between_the_slices_of_a_cine_is_a_stack_of_its_own():
    cine = [frame(20.0 * z, trigger=60.0 * k, series=str(z)) for z in range(3) for k in range(12)]
    perfusion = [frame(20.0 * z + 10, trigger=150.0, instance=k, series="9") for z in range(3) for k in range(40)]
    # a few images, or images without trigger times, may be those of a cine
    few = [frame(60.0, trigger=20.0 * k, series="3") for k in range(6)]
    unknown = [frame(80.0, instance=k, series="4") for k in range(12)]
    stacks = build_stacks([*cine, *perfusion, *few, *unknown])
    assert sorted(len(stack.slices) for stack in stacks) == [3, 5]


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
    assert all(
        exam.findings[0] == finding("exam-grouped", count=2, kind="several-frames-of-reference") for exam in moved
    )


def test_without_a_frame_of_reference_the_study_relates_and_it_is_said(tmp_path):
    (exam,) = group_exams([frame(frame_of_reference=""), frame(10.0, frame_of_reference="")], tmp_path)
    assert exam.findings == [finding("exam-grouped", shared="study", kind="no-frame-of-reference")]


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


def test_copies_count_once(tmp_path):
    one = frame(sop="1.2.3")
    (exam,) = group_exams([one, replace(one, path="/elsewhere/copy.dcm")], tmp_path)
    assert len(exam.stacks[0].slices[0].phases) == 1
    # some anonymisers give all images one identifier
    others = [frame(10.0, sop="1.2.3"), replace(one, instance=2), replace(one, trigger=40.0), replace(one, frame=1)]
    assert grouping._without_copies([one, *others]) == [one, *others]


def test_a_still_stack_keeps_the_image_that_was_acquired_last():
    frames = [frame(k / 100, instance=k, acquired=("", k, 0, ()), sop=str(k)) for k in (2, 3, 1)]
    (stack,) = build_stacks(frames)
    (entry,) = still(stack).slices
    assert [one.sop for one in entry.phases] == ["3"]
    assert entry.affine[:3, 3] == pytest.approx([0, 0, 0.03]), "the slice has the position of that image"
    assert len(stack.slices[0].phases) == 3, "the stack itself stays as it was"
