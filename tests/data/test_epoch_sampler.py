from __future__ import annotations

import ignite.distributed as idist
import pytest
from planewise.data import OrderedSampler
from planewise.data.epoch_sampler import own_positions
from planewise.errors import InputError
from torch.utils.data import DataLoader


def dealt(monkeypatch, length: int, processes: int, even: bool) -> list[list[int]]:
    """The positions that each process takes."""
    monkeypatch.setattr(idist, "get_world_size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        shares.append(list(own_positions(length, even)))
    return shares


@pytest.mark.parametrize(("length", "processes"), [(12, 3), (13, 3), (14, 3), (7, 7), (8, 1)])
def test_batches_side_by_side_are_one_large_batch(length, processes, monkeypatch):
    shares = dealt(monkeypatch, length, processes, even=True)
    kept = length - length % processes
    assert {len(share) for share in shares} == {kept // processes}
    for start in range(0, kept // processes, 2):
        together = sorted(position for share in shares for position in share[start : start + 2])
        assert together == list(range(start * processes, min((start + 2) * processes, kept)))


@pytest.mark.parametrize(("length", "processes"), [(12, 3), (13, 3), (14, 3), (3, 3)])
def test_validation_counts_everything_once(length, processes, monkeypatch):
    shares = dealt(monkeypatch, length, processes, even=False)
    assert sorted(position for share in shares for position in share) == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_fewer_to_validate_than_processes(monkeypatch):
    assert dealt(monkeypatch, 2, 4, even=False) == [[0, 1]] * 4
    assert dealt(monkeypatch, 0, 4, even=False) == [[]] * 4


def test_too_few_to_train_is_said(monkeypatch):
    with pytest.raises(InputError):
        dealt(monkeypatch, 2, 4, even=True)
    assert dealt(monkeypatch, 0, 4, even=True) == [[]] * 4


def test_processes_take_turns(monkeypatch):
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    batches = []
    for rank in range(2):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        loader = DataLoader(range(5), batch_size=2, sampler=OrderedSampler(range(5)))
        assert len(list(loader)) == len(loader)
        batches.append([batch.tolist() for batch in loader])
    assert batches == [[[0, 2], [4]], [[1, 3]]]
