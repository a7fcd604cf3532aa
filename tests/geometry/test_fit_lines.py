"""Test lines fitted to heatmaps against a simple fit of one heatmap with all its pixels."""

from __future__ import annotations

import numpy as np
import torch
from planewise.geometry import fit_lines, line_heatmaps

SHAPE = (40, 56)


def fit_slowly(heatmap: np.ndarray) -> np.ndarray:
    """Line of one heatmap, from the eigenvectors of the weighted scatter of all pixels."""
    places = np.stack(np.meshgrid(*map(np.arange, heatmap.shape), indexing="ij"), axis=-1).reshape(-1, 2).astype(float)
    weights = np.clip(heatmap - 0.5 * heatmap.max(), 0, None).ravel()
    keep = np.ones(len(weights))
    for _ in range(4):
        votes = weights * keep
        middle = votes @ places / votes.sum()
        values, vectors = np.linalg.eigh((votes[:, None] * (places - middle)).T @ (places - middle) / votes.sum())
        normal, residual = vectors[:, 0], np.sqrt(max(values[0], 0))
        distance = (places - middle) @ normal
        mirror = places - 2 * distance[:, None] * normal
        inside = ((mirror >= 0) & (mirror <= np.array(heatmap.shape) - 1)).all(axis=1)
        keep = (np.abs(distance) <= 3 * residual + 1) & inside
    return np.array([*normal, -middle @ normal])


def test_each_heatmap_of_a_batch_gives_its_own_line():
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(3, 2, dtype=torch.float64, generator=generator) * 3
    normals = torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1)
    through = torch.tensor([15.0, 25.0]) + 10 * torch.rand(3, 2, 2, dtype=torch.float64, generator=generator)
    lines = torch.cat([normals, -(normals * through).sum(dim=-1, keepdim=True)], dim=-1)
    heatmaps = line_heatmaps(lines, SHAPE, 3.0) + 0.05 * torch.randn(3, 2, *SHAPE, generator=generator)
    lines, peaks = fit_lines(heatmaps)
    assert lines.shape == (3, 2, 3)
    for slice_ in range(3):
        for view in range(2):
            line = fit_slowly(heatmaps[slice_, view].double().numpy())
            found = lines[slice_, view].numpy()
            assert np.allclose(found * np.sign(found[:2] @ line[:2]), line, atol=1e-6)
            assert float(peaks[slice_, view]) == float(heatmaps[slice_, view].max())
