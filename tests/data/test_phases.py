"""Test the choice of cardiac phases against choices worked out by hand."""

from __future__ import annotations

from planewise.data import at_cycle_points, cycle_fraction


def cine(phases: list[float], **where) -> list[dict]:
    return [{"exam": "a", "stack": "s", "phase": phase, **where} for phase in phases]


def phases(items) -> list[tuple[int, float]]:
    return [(item["slice"], item["phase"]) for item in items]


def test_the_phases_nearest_to_the_points_in_their_order():
    items = cine([0.0, 0.25, 0.5, 0.75], slice=0) + cine([0.05, 0.3, 0.38, 0.9], slice=1)
    assert phases(at_cycle_points(items, [0.4, 0.0])) == [(0, 0.0), (0, 0.5), (1, 0.05), (1, 0.38)]
    # 0.98 is nearer to the next cycle's 0 than 0.05 is
    assert phases(at_cycle_points(cine([0.05, 0.98], slice=2), [0.0])) == [(2, 0.98)]


def test_slices_of_two_stacks_of_an_exam_are_apart():
    items = cine([0.0, 0.5], slice=0) + [{**item, "stack": "4ch"} for item in cine([0.1, 0.4], slice=0)]
    assert [item["phase"] for item in at_cycle_points(items, [0.45])] == [0.5, 0.4]


def test_one_phase_is_taken_once_and_null_takes_all():
    items = cine([0.0], slice=0) + cine([0.0, 0.5], slice=1)
    assert phases(at_cycle_points(items, [0.0, 0.1])) == [(0, 0.0), (1, 0.0)]
    assert at_cycle_points(items, None) == items


def test_items_without_slices_or_with_named_phases_stay():
    volumes = [{"image": "a.nii", "phase": "ED"}, {"image": "a.nii", "phase": "ES"}, {"image": "b.nii"}]
    assert at_cycle_points(volumes, [0.0, 0.4]) == volumes


def test_frames_that_are_named_by_their_phase():
    frames = [{"exam": "a", "stack": "4ch", "slice": 0, "phase": name} for name in ("ES", "ED")]
    assert at_cycle_points(frames, [0.0, 0.4]) == frames
    assert at_cycle_points(frames, [0.3]) == frames[:1] and at_cycle_points(frames, [0.9]) == frames[1:]
    assert [cycle_fraction(item) for item in (*frames, {"phase": 0.7}, {"phase": "frame05"}, {})] == [0.4, 0, 0.7, 0, 0]
