from __future__ import annotations

import torch
from planewise.engines import PrepareStackBatch


def batch() -> dict[str, torch.Tensor]:
    """Two stacks of four slices of 2 x 3 pixels; the second has three slices and one padded slice."""
    mask = torch.tensor([[True] * 4, [True, True, True, False]])
    return {"image": torch.arange(48.0).view(2, 4, 2, 3), "label": torch.tensor([1, 0]), "mask": mask}


def test_slices_become_the_depth_of_one_channel():
    given = batch()
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

    image, *_ = PrepareStackBatch(augment)(batch(), "cpu", non_blocking=True)
    assert seen == [(2, 4, 2, 3)] and float(image.min()) == 1
