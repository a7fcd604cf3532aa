"""Test the loader of whole batches."""

from __future__ import annotations

import torch
from planewise.data import BatchLoader, OrderedSampler


class Rows(torch.utils.data.Dataset):
    """Returns all items of a batch at once, as our datasets do."""

    def __len__(self):
        return 5

    def __getitems__(self, indices):
        return {"index": torch.tensor(indices)}


def test_every_item_once_in_order_unless_a_sampler_is_given():
    loader = BatchLoader(Rows(), batch_size=2)
    assert [batch["index"].tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert isinstance(loader.sampler, OrderedSampler), "several processes take turns"
    backwards = BatchLoader(Rows(), batch_size=2, sampler=[4, 3, 2])
    assert [batch["index"].tolist() for batch in backwards] == [[4, 3], [2]]
    batches = BatchLoader(Rows(), batch_sampler=[[0, 4], [1]])
    assert [batch["index"].tolist() for batch in batches] == [[0, 4], [1]]
    (shuffled,) = BatchLoader(Rows(), batch_size=5, shuffle=True)
    assert sorted(shuffled["index"].tolist()) == [0, 1, 2, 3, 4]
