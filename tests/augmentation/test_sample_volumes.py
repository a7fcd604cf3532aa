"""Test that sampling through affine maps gives the same result as PyTorch's own sampling."""

import pytest
import torch
from planewise.augmentation import sample_volumes as module
from planewise.augmentation.rand_affine import RandAffineBatchd, _grid_terms
from planewise.augmentation.sample_volumes import sample_volumes
from torch.nn.functional import grid_sample

MOVES = RandAffineBatchd((40, 25, 70), (0.6, 1.5), shift=0.3, flip_prob=0.5, spatial_dims=3)


def by_torch(volumes, to_input, background, mode):
    grid = sum(_grid_terms(to_input, tuple(volumes.shape[2:]))).movedim(1, -1)
    fill = background[..., None, None, None]
    return grid_sample(volumes - fill, grid, mode, "zeros", align_corners=True) + fill


@pytest.mark.parametrize("shape", [(9, 10, 11), (2, 7, 30), (16, 3, 2)])
@pytest.mark.parametrize("block", [1, 2**16])
def test_linear_as_grid_sample(shape, block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    torch.manual_seed(0)
    volumes, background = torch.rand(3, 2, *shape), torch.tensor([[0.0, -2.0]]).repeat(3, 1)
    to_input = MOVES._draw(3, shape)
    sampled, _ = sample_volumes(volumes, to_input, background)
    assert torch.allclose(sampled, by_torch(volumes, to_input, background, "bilinear"), atol=3e-5)


@pytest.mark.parametrize("block", [1, 2**16])
def test_masks_nearest_as_grid_sample(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    torch.manual_seed(0)
    volumes, masks = torch.rand(3, 2, 12, 13, 14), torch.randint(0, 4, (3, 1, 12, 13, 14)).float()
    to_input = MOVES._draw(3, (12, 13, 14))
    alone, _ = sample_volumes(volumes, to_input, torch.ones(3, 2))
    beside, moved = sample_volumes(volumes, to_input, torch.ones(3, 2), {"label": masks, "other": 2 * masks})
    sampled = moved["label"]
    assert torch.equal(beside, alone) and torch.equal(moved["other"], 2 * sampled)
    expected = by_torch(masks, to_input, torch.zeros(3, 1), "nearest")
    assert set(sampled.unique().tolist()) == {0, 1, 2, 3}
    # halfway between two voxels, rounding decides
    assert (sampled == expected).double().mean() > 0.9995
