"""Test gradients in bfloat16 on a CPU for volumes that are thinner than the kernel."""

from __future__ import annotations

import pytest
import torch
from planewise.engines import AutocastInferer
from planewise.engines.thin_volumes import ExactThinVolumes
from torch import nn


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 3), (3, 3), (2, 5), (4, 5), (6, 5)])
def test_gradients_are_those_of_float32(depth, kernel):
    torch.manual_seed(0)
    layer, volumes = nn.Conv3d(16, 16, kernel, padding=kernel // 2), torch.randn(8, 16, depth, 4, 4)
    found = {}
    for amp in ("float32", "bfloat16"):
        layer.zero_grad()
        inferer = AutocastInferer(amp)
        for _ in range(5):
            # a kernel that reads freed memory would return these values
            torch.full((2**18,), torch.nan).sum()
            inferer(volumes, layer).square().mean().backward()
        found[amp] = layer.weight.grad.clone()
    assert torch.allclose(found["bfloat16"], found["float32"], atol=0.05 * float(found["float32"].abs().max()))


def test_only_thin_ones_are_in_float32():
    types = {}

    def network(volumes: torch.Tensor) -> torch.Tensor:
        layer = nn.Conv3d(1, 2, 3, padding=1)
        outputs = {depth: layer(volumes[:, :, :depth]) for depth in (2, 3)}
        types.update({depth: output.dtype for depth, output in outputs.items()})
        return outputs[3]

    inferer, volumes = AutocastInferer("bfloat16"), torch.randn(1, 1, 4, 4, 4)
    inferer(volumes, network)
    assert types == {2: torch.float32, 3: torch.bfloat16}
    with torch.no_grad():
        inferer(volumes, network)
    assert types == {2: torch.bfloat16, 3: torch.bfloat16}, "without gradients there is nothing to work around"
    with ExactThinVolumes():
        assert nn.Conv3d(1, 2, 3)(volumes).dtype == torch.float32
