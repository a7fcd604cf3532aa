"""Test where arrays are kept; test_cuda_step.py tests the operations on a CUDA device."""

from __future__ import annotations

import pytest
import torch
from planewise.data.device_arrays import DeviceArrays


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
