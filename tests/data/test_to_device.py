"""Test asynchronous copies to a device, and where arrays are kept; test_cuda_step.py tests both on a GPU."""

from __future__ import annotations

import pytest
import torch
from planewise.data.to_device import DeviceArrays, to_device

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


@pytest.fixture
def arrays() -> dict[str, torch.Tensor]:
    return {
        "image": torch.randn(9, 1, 4, 5).half(),
        "label": torch.randint(0, 4, (9, 1, 4, 5), dtype=torch.uint8),
        "affine": torch.randn(9, 4, 4, dtype=torch.float64),
    }


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu"), "meta"])
def test_rows_of_every_array(arrays, device):
    kept = DeviceArrays(arrays, device)
    batch = kept.rows(torch.tensor([7, 0, 7]))
    # a device that is not a GPU gets its batches from the CPU
    assert kept.device == torch.device("cpu")
    for name, values in arrays.items():
        assert torch.equal(batch[name], values[[7, 0, 7]].to(batch[name].dtype))
    assert [batch[name].dtype for name in arrays] == [torch.float32, torch.float32, torch.float64]
