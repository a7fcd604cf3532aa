"""Test where arrays are kept; test_cuda_step.py tests the operations on a CUDA device."""

from __future__ import annotations

import logging

import pytest
import torch
from planewise.data import device_arrays
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


def test_the_share_of_the_free_memory_decides(arrays, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    needed = sum(array.nbytes for array in arrays.values())
    for free, fits in ((2 * needed, True), (2 * needed - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10 * free))
        assert device_arrays._fit(arrays, torch.device("cuda:0")) is fits
    assert "are kept on cuda:0" in caplog.messages[0]
    assert "are read from the disk when needed, because they are too large for cuda:0" in caplog.messages[1]
