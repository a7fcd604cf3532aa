"""Random slices and planes for property tests."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st


def rotation(seed: int) -> torch.Tensor:
    """A random rotation matrix, ``(3, 3)``."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return torch.from_numpy(q)


@st.composite
def affines(draw) -> torch.Tensor:
    """A slice's affine: any orientation, spacing 0.5 to 3 mm, origin within half a metre."""
    axes = rotation(draw(st.integers(0, 10**6)))
    affine = torch.eye(4, dtype=torch.float64)
    spacing = torch.tensor([draw(st.floats(0.5, 3)), draw(st.floats(0.5, 3)), 1.0], dtype=torch.float64)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = torch.tensor([draw(st.floats(-500, 500)) for _ in range(3)], dtype=torch.float64)
    return affine


@st.composite
def planes_through(draw, affine: torch.Tensor, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A plane that passes through a pixel of the slice, at least 20 degrees from parallel."""
    i, j = draw(st.floats(0, shape[0] - 1)), draw(st.floats(0, shape[1] - 1))
    point = (affine @ torch.tensor([i, j, 0, 1], dtype=torch.float64))[:3]
    tilt, turn = draw(st.floats(0.35, np.pi / 2)), draw(st.floats(0, 2 * np.pi))
    axes = affine[:3, :3] / affine[:3, :3].norm(dim=0)
    local = torch.tensor([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], dtype=torch.float64)
    return point, axes @ local
