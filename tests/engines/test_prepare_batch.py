from __future__ import annotations

import ignite.distributed as idist
import pytest
import torch
from planewise.engines import PrepareSliceBatch, PrepareStackBatch


def augment(batch: dict) -> dict:
    return {**batch, "image": batch["image"] + torch.rand(1)}


def prepared() -> tuple[torch.Tensor, torch.Tensor]:
    """The augmented image, and the random numbers that the network's dropout would draw next."""
    torch.manual_seed(7)
    image, _ = PrepareSliceBatch("label", augment)({"image": torch.zeros(2), "label": torch.zeros(2)}, "cpu")
    return image, torch.rand(4)


def in_processes(monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    monkeypatch.setattr(idist, "get_world_size", lambda: count)
    results = []
    for rank in range(count):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        results.append(prepared())
    return results


def test_one_process_draws_on_where_the_augmentation_stopped():
    _, after = prepared()
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(5)[1:])


def test_processes_augment_from_one_seed_and_drop_from_their_own(monkeypatch):
    (image, after), (other_image, other_after) = in_processes(monkeypatch, 2)
    assert torch.equal(image, other_image)
    assert not torch.equal(after, other_after)
    # a repetition gives the same numbers
    assert torch.equal(in_processes(monkeypatch, 2)[1][1], other_after)


def test_the_pretext_is_made_of_the_augmented_batch():
    def doubled(batch: dict) -> dict:
        return {**batch, "twice": 2 * batch["image"]}

    batch = {"image": torch.zeros(2)}
    torch.manual_seed(7)
    image, twice = PrepareSliceBatch("twice", augment, doubled)(batch, "cpu")
    assert float(image[0]) > 0 and torch.equal(twice, 2 * image)
    image, twice = PrepareSliceBatch("twice", pretext=doubled)(batch, "cpu")
    assert torch.equal(image, batch["image"]) and torch.equal(twice, image)


def stacks() -> dict[str, torch.Tensor]:
    """Two stacks of four slices of 2 x 3 pixels; the second has three slices and one padded slice."""
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    return {"image": torch.arange(48.0).view(2, 4, 2, 3), "label": torch.tensor([1, 0]), "mask": mask}


def test_slices_become_the_depth_of_one_channel():
    given = stacks()
    image, label, arguments, named = PrepareStackBatch()(given, "cpu")
    assert image.shape == (2, 1, 2, 3, 4) and arguments == () and list(named) == ["mask"]
    for stack in range(2):
        for number in range(4):
            assert torch.equal(image[stack, 0, :, :, number], given["image"][stack, number])
    assert torch.equal(label, given["label"]) and torch.equal(named["mask"], given["mask"])


def test_the_augmentation_sees_the_slices_as_channels():
    seen = []

    def augment(given: dict) -> dict:
        seen.append(tuple(given["image"].shape))
        return {**given, "image": given["image"] + 1}

    image, *_ = PrepareStackBatch(augment)(stacks(), "cpu", non_blocking=True)
    assert seen == [(2, 4, 2, 3)] and float(image.min()) == 1
