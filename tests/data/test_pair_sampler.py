from __future__ import annotations

import logging
from collections import Counter
from types import SimpleNamespace

import ignite.distributed as idist
import pytest
from planewise.data import PairSampler
from planewise.data.datalist import rows_by_stack, slice_position
from planewise.errors import InputError

#: 4 exams of 3 to 6 slices at two phases; the last exam has only the ranks of its slices.
ITEMS = [
    {"exam": f"e{exam}", "stack": "sax", "phase": phase, "slice": k}
    | ({"location": k / (2 + exam)} if exam < 3 else {})
    for exam in range(4)
    for k in range(3 + exam)
    for phase in (0.0, 0.5)
]
DATASET = SimpleNamespace(items=ITEMS)


def pairs(sampler) -> list[tuple[int, int]]:
    return [pair for batch in sampler for pair in zip(batch[::2], batch[1::2], strict=True)]


def draw(epoch: int = 0, **settings) -> list[tuple[int, int]]:
    sampler = PairSampler(DATASET, **settings)
    sampler.set_epoch(epoch)
    return pairs(sampler)


def test_a_pair_is_two_slices_of_one_stack_at_one_phase():
    drawn = draw(samples_per_exam="all", batch_size=5)
    assert sorted(first for first, _ in drawn) == list(range(len(ITEMS))), "each slice comes first in exactly one pair"
    for first, second in drawn:
        one, other = ITEMS[first], ITEMS[second]
        assert all(one[key] == other[key] for key in ("exam", "stack", "phase")) and one["slice"] != other["slice"]


def test_every_pair_is_as_likely_and_either_of_two_may_come_first():
    drawn = Counter(pair for epoch in range(400) for pair in draw(epoch, samples_per_exam="all"))
    of_first_exam = {pair: count for pair, count in drawn.items() if ITEMS[pair[0]]["exam"] == "e1"}
    # 4 slices at 2 phases: 24 ordered pairs, 8 drawn per epoch
    assert len(of_first_exam) == 24
    assert max(of_first_exam.values()) < 1.5 * 400 * 8 / 24 and min(of_first_exam.values()) > 0.6 * 400 * 8 / 24


@pytest.mark.parametrize("length", [3, 4, 11])
def test_batches_and_the_length_of_an_epoch(length):
    sampler = PairSampler(DATASET, batch_size=3, samples_per_epoch=length)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-length // 3)
    assert [len(batch) for batch in batches[:-1]] == [6] * (len(batches) - 1)
    assert sum(map(len, batches)) == 2 * length
    # complete passes: no exam comes a third time before all have come twice
    assert max(Counter(ITEMS[first]["exam"] for first, _ in pairs(batches)).values()) <= -(-length // 4)


def test_one_pair_of_each_exam_by_default():
    assert Counter(ITEMS[first]["exam"] for first, _ in draw()) == Counter(["e0", "e1", "e2", "e3"])


def test_two_slices_are_a_pair_in_either_order():
    two = SimpleNamespace(items=[{"exam": "e", "stack": "sax", "phase": 0.0, "slice": k} for k in (0, 1)])
    assert sorted(pairs(PairSampler(two, samples_per_exam="all"))) == [(0, 1), (1, 0)]


def test_seed_and_epoch_decide():
    assert draw(4, seed=1) == draw(4, seed=1)
    assert len({tuple(draw(epoch, seed=seed)) for seed in (0, 1) for epoch in range(5)}) == 10


@pytest.mark.parametrize("even", [True, False])
def test_processes_take_turns_by_whole_pairs(even, monkeypatch):
    def taken() -> list[tuple[int, int]]:
        return draw(2, samples_per_exam=2, samples_per_epoch=17, seed=3, even=even, batch_size=2)

    alone = taken()
    monkeypatch.setattr(idist, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        assert taken() == alone[rank : 15 if even else 17 : 3]


def test_a_stack_of_one_slice_is_left_out_and_said(caplog):
    single = [{"exam": "lonely", "stack": "sax", "slice": 0, "phase": 0.0}]
    with caplog.at_level(logging.WARNING):
        sampler = PairSampler(SimpleNamespace(items=ITEMS + single), samples_per_exam="all")
    assert "1 of 37 slices are in no pair, because their stack has no other slice at their phase" in caplog.text
    assert len(sampler) == 36
    with pytest.raises(
        InputError,
        match=r"no two of the 1 slices belong to the same stack and phase.* index stacks of at least two slices",
    ):
        PairSampler(SimpleNamespace(items=single))


def test_no_slices_and_wrong_settings():
    assert list(PairSampler(SimpleNamespace(items=[]), samples_per_epoch=10)) == []
    with pytest.raises(ValueError, match="'all'"):
        PairSampler(DATASET, samples_per_exam=0)


def test_stacks_are_in_order_and_apart():
    items = [
        {"exam": "a", "stack": "sax", "slice": 0, "location": 0.9, "phase": 1 / 3},
        {"exam": "a", "stack": "sax", "slice": 1, "location": 0.1, "phase": 0.333333333},
        {"exam": "a", "stack": "sax", "slice": 1, "location": 0.1, "phase": 0.5},
        {"exam": "a", "stack": "other", "slice": 2, "phase": 0.5},
        # slices of whole volumes: an exam has one volume for each phase; the phase may have no name
        {"exam": "b", "image": "one.nii.gz", "slice": 1, "phase": "ED"},
        {"exam": "b", "image": "one.nii.gz", "slice": 0, "phase": "ED"},
        {"exam": "b", "image": "two.nii.gz", "slice": 0},
        {"exam": "b", "image": "three.nii.gz", "slice": 1},
    ]
    assert list(rows_by_stack(items).values()) == [[1, 0], [2], [3], [5, 4], [6], [7]]


def test_a_slice_lies_by_its_location_or_else_by_its_rank():
    assert slice_position({"location": 0.25, "slice": 3}) == 0.25
    assert slice_position({"location": float("nan"), "slice": 3}) == slice_position({"slice": 3}) == 3
    with pytest.raises(InputError, match="exam 7f: an item has neither location nor slice"):
        slice_position({"exam": "7f"})
