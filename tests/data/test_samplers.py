from __future__ import annotations

import logging
from collections import Counter
from types import SimpleNamespace

import ignite.distributed as idist
import pytest
from planewise.data import ExamSampler, PairSampler, SeriesSampler, SliceDataset
from planewise.data.datalist import rows_by_stack, slice_position
from planewise.errors import InputError

from .conftest import write_volume

#: 5 exams of 3 to 7 slices.
ITEMS = [{"exam": f"e{exam}"} for exam in range(5) for _ in range(3 + exam)]
DATASET = SimpleNamespace(items=ITEMS)

#: 4 exams of 3 to 6 slices at two phases; the last exam has only the ranks of its slices.
PAIR_ITEMS = [
    {"exam": f"e{exam}", "stack": "sax", "phase": phase, "slice": k}
    | ({"location": k / (2 + exam)} if exam < 3 else {})
    for exam in range(4)
    for k in range(3 + exam)
    for phase in (0.0, 0.5)
]
PAIR_DATASET = SimpleNamespace(items=PAIR_ITEMS)


def exams(indices) -> Counter:
    return Counter(ITEMS[index]["exam"] for index in indices)


def test_one_slice_of_each_exam():
    sampler = ExamSampler(DATASET)
    assert len(sampler) == 5
    assert set(exams(sampler).values()) == {1} and len(exams(sampler)) == 5


def test_all_slices_once_in_random_order():
    drawn = list(ExamSampler(DATASET, "all"))
    assert sorted(drawn) == list(range(len(ITEMS))) and drawn != sorted(drawn)


def test_at_most_what_an_exam_has():
    assert exams(ExamSampler(DATASET, 6)) == Counter({"e0": 3, "e1": 4, "e2": 5, "e3": 6, "e4": 6})


def test_seed_and_epoch_decide():
    def draw(seed: int, epoch: int) -> list[int]:
        sampler = ExamSampler(DATASET, 2, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(1, 4) == draw(1, 4)
    assert len({tuple(draw(seed, epoch)) for seed in (0, 1) for epoch in range(5)}) == 10


def test_every_slice_comes_in_time():
    sampler = ExamSampler(DATASET)
    seen = set()
    for epoch in range(60):
        sampler.set_epoch(epoch)
        seen.update(sampler)
    assert seen == set(range(len(ITEMS)))


@pytest.mark.parametrize("length", [3, 5, 12])
def test_the_length_of_an_epoch_can_be_fixed(length):
    sampler = ExamSampler(DATASET, samples_per_epoch=length)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == length
    # complete passes: no exam comes a third time before all have come twice
    counts = exams(drawn)
    assert max(counts.values()) <= -(-length // 5)


def test_an_empty_dataset():
    assert list(ExamSampler(SimpleNamespace(items=[]), samples_per_epoch=10)) == []


def test_options_are_checked():
    with pytest.raises(ValueError, match="'all'"):
        ExamSampler(DATASET, 0)


@pytest.mark.parametrize("even", [True, False])
def test_processes_deal_out_the_order_of_one(even, monkeypatch):
    def draw() -> list[int]:
        sampler = ExamSampler(DATASET, 2, samples_per_epoch=17, seed=3, even=even)
        sampler.set_epoch(2)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        return drawn

    alone = draw()
    monkeypatch.setattr(idist, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        assert draw() == alone[rank : 15 if even else 17 : 3]


def test_the_exams_of_an_epoch_are_shuffled():
    sampler, orders = ExamSampler(DATASET, "all"), set()
    for epoch in range(5):
        sampler.set_epoch(epoch)
        orders.add(tuple(dict.fromkeys(ITEMS[index]["exam"] for index in sampler)))
    assert len(orders) > 1


def pairs(sampler) -> list[tuple[int, int]]:
    return [pair for batch in sampler for pair in zip(batch[::2], batch[1::2], strict=True)]


def draw_pairs(epoch: int = 0, **settings) -> list[tuple[int, int]]:
    sampler = PairSampler(PAIR_DATASET, **settings)
    sampler.set_epoch(epoch)
    return pairs(sampler)


def test_a_pair_is_two_slices_of_one_stack_at_one_phase():
    drawn = draw_pairs(samples_per_exam="all", batch_size=5)
    assert sorted(first for first, _ in drawn) == list(range(len(PAIR_ITEMS))), (
        "each slice comes first in exactly one pair"
    )
    for first, second in drawn:
        one, other = PAIR_ITEMS[first], PAIR_ITEMS[second]
        assert all(one[key] == other[key] for key in ("exam", "stack", "phase")) and one["slice"] != other["slice"]


def test_every_pair_is_as_likely_and_either_of_two_may_come_first():
    drawn = Counter(pair for epoch in range(400) for pair in draw_pairs(epoch, samples_per_exam="all"))
    of_first_exam = {pair: count for pair, count in drawn.items() if PAIR_ITEMS[pair[0]]["exam"] == "e1"}
    # 4 slices at 2 phases: 24 ordered pairs, 8 drawn per epoch
    assert len(of_first_exam) == 24
    assert max(of_first_exam.values()) < 1.5 * 400 * 8 / 24 and min(of_first_exam.values()) > 0.6 * 400 * 8 / 24


@pytest.mark.parametrize("length", [3, 4, 11])
def test_batches_and_the_length_of_an_epoch(length):
    sampler = PairSampler(PAIR_DATASET, batch_size=3, samples_per_epoch=length)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-length // 3)
    assert [len(batch) for batch in batches[:-1]] == [6] * (len(batches) - 1)
    assert sum(map(len, batches)) == 2 * length
    # complete passes: no exam comes a third time before all have come twice
    assert max(Counter(PAIR_ITEMS[first]["exam"] for first, _ in pairs(batches)).values()) <= -(-length // 4)


def test_one_pair_of_each_exam_by_default():
    assert Counter(PAIR_ITEMS[first]["exam"] for first, _ in draw_pairs()) == Counter(["e0", "e1", "e2", "e3"])


def test_two_slices_are_a_pair_in_either_order():
    two = SimpleNamespace(items=[{"exam": "e", "stack": "sax", "phase": 0.0, "slice": k} for k in (0, 1)])
    assert sorted(pairs(PairSampler(two, samples_per_exam="all"))) == [(0, 1), (1, 0)]


def test_seed_and_epoch_decide_the_pairs():
    assert draw_pairs(4, seed=1) == draw_pairs(4, seed=1)
    assert len({tuple(draw_pairs(epoch, seed=seed)) for seed in (0, 1) for epoch in range(5)}) == 10


@pytest.mark.parametrize("even", [True, False])
def test_processes_take_turns_by_whole_pairs(even, monkeypatch):
    def taken() -> list[tuple[int, int]]:
        return draw_pairs(2, samples_per_exam=2, samples_per_epoch=17, seed=3, even=even, batch_size=2)

    alone = taken()
    monkeypatch.setattr(idist, "get_world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        assert taken() == alone[rank : 15 if even else 17 : 3]


def test_a_stack_of_one_slice_is_left_out_and_said(caplog):
    single = [{"exam": "lonely", "stack": "sax", "slice": 0, "phase": 0.0}]
    with caplog.at_level(logging.WARNING):
        sampler = PairSampler(SimpleNamespace(items=PAIR_ITEMS + single), samples_per_exam="all")
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
        PairSampler(PAIR_DATASET, samples_per_exam=0)


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


@pytest.fixture
def slices(tmp_path, preprocessing) -> SliceDataset:
    items = [{"image": str(write_volume(tmp_path / f"{n}.nii.gz", n, slices=n + 2)), "exam": f"e{n}"} for n in range(4)]
    preprocessing.transforms[0].allow_missing_keys = preprocessing.transforms[1].allow_missing_keys = True
    return SliceDataset(items, preprocessing, cache_dir=tmp_path / "c", num_workers=0, progress=False)


def exams_of(slices, batch) -> list[str]:
    return [slices.items[index]["exam"] for index in batch]


def test_a_batch_is_a_whole_series(slices):
    sampler = SeriesSampler(slices, seed=3)
    batches = list(sampler)
    assert len(sampler) == len(batches) == 4
    assert sorted(index for batch in batches for index in batch) == list(range(len(slices)))
    for batch in batches:
        (exam,) = set(exams_of(slices, batch))
        assert len(batch) == int(exam[1]) + 2


def test_order_is_decided_by_seed_and_epoch(slices):
    sampler, other = SeriesSampler(slices, max_slices=3, seed=3), SeriesSampler(slices, max_slices=3, seed=3)
    first = list(sampler)
    sampler.set_epoch(5)
    later = list(sampler)
    assert first != later
    other.set_epoch(5)
    assert list(other) == later
    assert list(SeriesSampler(slices, max_slices=3, seed=4)) != first


def test_several_series_and_a_fixed_length(slices):
    sampler = SeriesSampler(slices, batch_size=3, samples_per_epoch=10)
    batches = list(sampler)
    assert len(sampler) == len(batches) == 4
    series = [len(set(exams_of(slices, batch))) for batch in batches]
    assert series[-1] == 1, "ten series make three batches of three and a batch of one"
    drawn = Counter(exam for batch in batches for exam in set(exams_of(slices, batch)))
    assert max(drawn.values()) <= 4 and len(drawn) == 4


def test_large_series_are_bounded(slices):
    seen: set[int] = set()
    sampler = SeriesSampler(slices, max_slices=3)
    for epoch in range(30):
        sampler.set_epoch(epoch)
        for batch in sampler:
            assert len(batch) == len(set(batch)) <= 3
            seen |= set(batch)
    assert seen == set(range(len(slices))), "over many epochs, every slice is drawn"


def test_validation_is_the_same_every_time(slices):
    sampler = SeriesSampler(slices, max_slices=3, shuffle=False)
    first = list(sampler)
    sampler.set_epoch(7)
    assert list(sampler) == first
    assert [exams_of(slices, batch)[0] for batch in first] == ["e0", "e1", "e2", "e3"]
    # evenly spaced, first and last among them
    assert [slices.items[index]["slice"] for index in first[3]] == [0, 2, 4]


def test_numbers_that_make_no_sense():
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        SeriesSampler(None, batch_size=0)


def test_nothing_to_sample(preprocessing, tmp_path):
    empty = SliceDataset([], preprocessing, cache_dir=tmp_path, progress=False)
    assert list(SeriesSampler(empty, samples_per_epoch=5)) == [] and len(SeriesSampler(empty)) == 0


@pytest.mark.parametrize("even", [True, False])
def test_batches_of_two_processes_are_one_batch_of_twice_the_series(slices, even, monkeypatch):
    def batches(batch_size: int) -> list[list[int]]:
        sampler = SeriesSampler(slices, batch_size, max_slices=3, samples_per_epoch=11, seed=5, even=even)
        sampler.set_epoch(4)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        return drawn

    whole = batches(4)
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        shares.append(batches(2))
    together = [sorted(one + other) for one, other in zip(*shares, strict=True)]
    # the eleventh series is dropped, or goes to the first process
    expected = [sorted(batch) for batch in whole]
    assert together[:2] == expected[:2]
    assert (len(together[2]) < len(expected[2]) if even else together[2] == expected[2]) and set(together[2]) <= set(
        expected[2]
    )
