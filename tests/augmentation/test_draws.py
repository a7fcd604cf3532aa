from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from planewise.augmentation import own_draws


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_processes_draw_together_what_one_draws_for_all_their_samples(monkeypatch, draw):
    torch.manual_seed(3)
    alone = own_draws(6, 2, draw=draw, dtype=torch.float64)
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    dealt = []
    for rank in (0, 1):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        dealt.append(own_draws(3, 2, draw=draw, dtype=torch.float64))
    # the samples of an epoch are dealt out in turns: 0, 2, 4 to the first, 1, 3, 5 to the second
    assert torch.equal(torch.stack(dealt, dim=1).reshape(6, 2), alone)
    assert alone.dtype == torch.float64 and len(alone.unique()) == 12
