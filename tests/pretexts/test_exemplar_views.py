from __future__ import annotations

from collections import Counter

import ignite.distributed as idist
import pytest
import torch
from planewise.augmentation import RandFlipRotate90Batchd
from planewise.pretexts import ExemplarViewsd


class Volumes:
    """Each of ten volumes has its own grey value."""

    def __len__(self) -> int:
        return 10

    def __getitems__(self, rows):
        return {"image": torch.tensor(rows).float()[:, None, None, None, None].expand(-1, 2, 4, 4, 4).clone()}


def batch_of(rows: list[int]) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(len(rows), 2, 4, 4, 4), "index": torch.tensor(rows)}


def test_a_negative_of_the_set_is_each_other_item_as_often_and_never_the_sample():
    torch.manual_seed(0)
    rows = [0, 3, 9] * 300
    made = ExemplarViewsd(RandFlipRotate90Batchd(), Volumes())(batch_of(rows))
    assert made["image"].shape == (900, 6, 4, 4, 4) and "order" not in made
    values = made["image"][:, 4, 0, 0, 0].long().tolist()
    for own in (0, 3, 9):
        drawn = Counter(value for row, value in zip(rows, values, strict=True) if row == own)
        assert set(drawn) == set(range(10)) - {own}
        assert all(count == pytest.approx(300 / 9, abs=20) for count in drawn.values())


@pytest.mark.parametrize("dataset", [None, Volumes()], ids=["batch", "set"])
def test_draws_come_from_the_seed_and_are_shared_by_processes(dataset, monkeypatch):
    pretext, given = ExemplarViewsd(RandFlipRotate90Batchd(), dataset), batch_of([0, 4, 2, 7])

    def made(rank: int, world: int, seed: int = 5) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return pretext({name: value[rank::world] for name, value in given.items()})

    alone = made(0, 1)
    key = "order" if dataset is None else "image"
    assert torch.equal(alone[key], made(0, 1)[key]) and not torch.equal(alone[key], made(0, 1, 6)[key])
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        found = made(rank, 2)
        assert torch.equal(found["image"], alone["image"][rank::2])
        if dataset is None:
            assert torch.equal(found["order"], alone["order"][rank::2])
