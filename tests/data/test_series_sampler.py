from __future__ import annotations

from collections import Counter

import ignite.distributed as idist
import pytest
from planewise.data import SeriesSampler, SliceDataset

from .conftest import write_volume


@pytest.fixture
def slices(tmp_path, preprocessing) -> SliceDataset:
    items = [{"image": str(write_volume(tmp_path / f"{n}.nii.gz", n, slices=n + 2)), "exam": f"e{n}"} for n in range(4)]
    preprocessing.transforms[0].allow_missing_keys = preprocessing.transforms[1].allow_missing_keys = True
    return SliceDataset(items, preprocessing, cache_dir=tmp_path / "c", num_workers=0, progress=False)


def exams(slices, batch) -> list[str]:
    return [slices.items[index]["exam"] for index in batch]


def test_a_batch_is_a_whole_series(slices):
    sampler = SeriesSampler(slices, seed=3)
    batches = list(sampler)
    assert len(sampler) == len(batches) == 4
    assert sorted(index for batch in batches for index in batch) == list(range(len(slices)))
    for batch in batches:
        (exam,) = set(exams(slices, batch))
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
    series = [len(set(exams(slices, batch))) for batch in batches]
    assert series[-1] == 1, "ten series make three batches of three and a batch of one"
    drawn = Counter(exam for batch in batches for exam in set(exams(slices, batch)))
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
    assert [exams(slices, batch)[0] for batch in first] == ["e0", "e1", "e2", "e3"]
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
