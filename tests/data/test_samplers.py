from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import ignite.distributed as idist
import pytest
from planewise.data import ExamSampler, PairSampler, SeriesSampler, SliceDataset
from planewise.data.samplers import own_positions
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


def test_all_slices_once_in_random_order():
    drawn = list(ExamSampler(DATASET, "all"))
    assert sorted(drawn) == list(range(len(ITEMS))) and drawn != sorted(drawn)


def test_seed_and_epoch_decide():
    def draw(seed: int, epoch: int) -> list[int]:
        sampler = ExamSampler(DATASET, 2, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(1, 4) == draw(1, 4)
    assert len({tuple(draw(seed, epoch)) for seed in (0, 1) for epoch in range(5)}) == 10


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


def test_large_series_are_bounded(slices):
    seen: set[int] = set()
    sampler = SeriesSampler(slices, max_slices=3)
    for epoch in range(30):
        sampler.set_epoch(epoch)
        for batch in sampler:
            assert len(batch) == len(set(batch)) <= 3
            seen |= set(batch)
    assert seen == set(range(len(slices))), "over many epochs, every slice is drawn"


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


def dealt(monkeypatch, length: int, processes: int, even: bool) -> list[list[int]]:
    """The positions that each process takes."""
    monkeypatch.setattr(idist, "get_world_size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        shares.append(list(own_positions(length, even)))
    return shares


@pytest.mark.parametrize(("length", "processes"), [(12, 3), (13, 3), (14, 3), (3, 3)])
def test_validation_counts_everything_once(length, processes, monkeypatch):
    shares = dealt(monkeypatch, length, processes, even=False)
    assert sorted(position for share in shares for position in share) == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_too_few_to_train_is_said(monkeypatch):
    with pytest.raises(InputError):
        dealt(monkeypatch, 2, 4, even=True)
    assert dealt(monkeypatch, 0, 4, even=True) == [[]] * 4
