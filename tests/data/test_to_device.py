"""Test asynchronous copies to a device; test_cuda_step.py tests them on a GPU."""

from __future__ import annotations

import pytest
import torch
from planewise.data.to_device import to_device

from tests.cuda_stand_in import WITHOUT_VALUES, as_on_a_gpu


@pytest.mark.parametrize(
    "tensor",
    [torch.arange(6.0).view(2, 3), torch.arange(3).expand(4, -1), torch.arange(4).unfold(0, 2, 1), torch.ones(2, 3).T],
    ids=["plain", "expanded", "overlapping", "transposed"],
)
def test_any_tensor_is_pinned_and_copied(tensor):
    with as_on_a_gpu():
        moved = to_device(tensor, WITHOUT_VALUES)
    assert (moved.device, moved.shape, moved.dtype) == (WITHOUT_VALUES, tensor.shape, tensor.dtype)


def test_on_the_cpu_nothing_is_copied():
    tensor = torch.arange(3).expand(4, -1)
    assert to_device(tensor, "cpu") is tensor
