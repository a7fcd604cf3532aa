from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import ignite.distributed as idist
import pytest
from planewise.data import ExamSampler

#: 5 exams of 3 to 7 slices.
ITEMS = [{"exam": f"e{exam}"} for exam in range(5) for _ in range(3 + exam)]
DATASET = SimpleNamespace(items=ITEMS)


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
