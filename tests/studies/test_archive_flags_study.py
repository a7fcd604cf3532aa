"""Test the study of an archive's flags: it changes views in headers as described and sorts the archive's answers."""

from __future__ import annotations

import math

import numpy as np
import pydicom
import pytest
from planewise.data import find_inputs
from planewise.own_exams.plan_exams import apart_limits

from tests.exams.conftest import write_usual_exam
from tools.studies.archive_flags import VIEWS, Move, crossing, misplaced, outcomes


def bounded(plane, within=(3.0, 1.0)):
    return {**plane, "within_deg": within[0], "within_mm": within[1]}


def test_two_planes_cross_in_a_line():
    planes = [{"origin": [1.0, 5, 5], "normal": [1.0, 0, 0]}, {"origin": [7.0, 2, 9], "normal": [0, 1.0, 0]}]
    point, direction = crossing(planes)
    assert point[:2] == pytest.approx([1, 2]) and np.abs(direction) == pytest.approx([0, 0, 1])


@pytest.mark.parametrize("move", [Move(turn=15), Move(turn=-15), Move(shift=8)])
def test_views_are_moved_in_a_copy(move, tmp_path):
    """Views are moved about their line or along their normals; the short axis, the pixels and the exam's name stay."""
    tree = write_usual_exam(tmp_path / "tree")
    before = {file: file.read_bytes() for file in tree.rglob("*.dcm")}
    (item,) = find_inputs(tree, "ed")
    copy = misplaced(tree, move)
    (moved,) = find_inputs(copy, "ed")
    assert {file: file.read_bytes() for file in before} == before and moved["exam"] == item["exam"]
    assert [entry["affine"] for entry in moved["image"]] == [entry["affine"] for entry in item["image"]]
    was, now = item["image"][0]["planes"], moved["image"][0]["planes"]
    point, direction = crossing([was[view] for view in VIEWS])
    for view in VIEWS:
        normals = np.array([plane["normal"] for plane in (was[view], now[view])])
        cosine = abs(normals[0] @ normals[1])
        assert math.degrees(math.acos(min(cosine, 1))) == pytest.approx(abs(move.turn), abs=0.05)
        assert abs(normals[1] @ direction) < 1e-4, "the plane still contains the line"
        distance = abs(normals[1] @ (point - np.array(now[view]["origin"])))
        assert distance == pytest.approx(abs(move.shift), abs=0.01)
    file = next(copy.glob("2ch*/*"))
    assert pydicom.dcmread(file).PixelData == pydicom.dcmread(tree / file.relative_to(copy)).PixelData
    assert misplaced(tree, move) == copy and misplaced(tree, Move()) == tree
    others = (Move(turn=1), Move(shift=1), Move(shift=2), Move(turn=1, shift=1))
    assert len({copy, *(misplaced(tree, other) for other in others)}) == 5, "each move has a copy of its own"


def test_what_an_archive_says_of_a_view(tmp_path):
    """The plan equals the acquired planes; the limits are hypot(3, 12.5) = 12.9 degrees and hypot(1, 5) = 5.1 mm."""
    tree = write_usual_exam(tmp_path / "tree")
    (item,) = find_inputs(tree, "ed")
    planes = item["image"][0]["planes"]
    # a plan's origins are in the heart, where the offset is measured; those of images are at their corners
    middle = [-20.0, 15.0, -10.0]
    plans = {item["exam"]: {view: bounded({**planes[view], "origin": middle}) for view in VIEWS}}
    assert apart_limits(plans[item["exam"]]["2ch"]) == pytest.approx((12.85, 5.10), abs=0.01)
    assert list(outcomes(tree, plans, Move())) == ["near"] * 2
    assert list(outcomes(tree, plans, Move(turn=12))) == ["near"] * 4, "two views, in both directions"
    assert list(outcomes(tree, plans, Move(turn=15))) == ["far"] * 4
    assert list(outcomes(tree, plans, Move(shift=6))) == ["far"] * 4
    none = {view: bounded({"origin": None, "normal": None}, (None, None)) for view in VIEWS}
    assert list(outcomes(tree, {item["exam"]: none}, Move())) == []


def test_the_moves_are_named():
    assert [str(move) for move in (Move(), Move(turn=15), Move(shift=8))] == [
        "as prescribed", "turned by 15 deg", "shifted by 8 mm",
    ]  # fmt: skip
