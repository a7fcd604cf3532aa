from __future__ import annotations

import ignite.distributed as idist
from planewise.data import OrderedSampler
from torch.utils.data import DataLoader, SequentialSampler


def test_alone_it_is_torchs_own():
    assert list(OrderedSampler("abcde")) == list(SequentialSampler("abcde"))
    assert len(OrderedSampler("abcde")) == 5 and list(OrderedSampler("")) == []


def test_processes_take_turns(monkeypatch):
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    batches = []
    for rank in range(2):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        loader = DataLoader(range(5), batch_size=2, sampler=OrderedSampler(range(5)))
        assert len(list(loader)) == len(loader)
        batches.append([batch.tolist() for batch in loader])
    assert batches == [[[0, 2], [4]], [[1, 3]]]
