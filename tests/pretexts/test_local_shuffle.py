"""Test shuffled windows against a loop over the windows."""

from __future__ import annotations

import torch
from planewise.pretexts.local_shuffle import local_shuffle


def one_by_one(image, window, offset, keys):
    shuffled = image.clone()
    _, channels, rows, columns = image.shape
    for number, ((height, width), (up, left)) in enumerate(zip(window.tolist(), offset.tolist(), strict=True)):
        key = keys[number].reshape(rows, columns)
        for top in range(-up, rows, height):
            for side in range(-left, columns, width):
                part = (slice(max(top, 0), top + height), slice(max(side, 0), side + width))
                order = key[part].flatten().argsort()
                if len(order):
                    pixels = image[number][(slice(None), *part)]
                    mixed = pixels.flatten(1)[:, order].reshape(pixels.shape)
                    shuffled[number][(slice(None), *part)] = mixed
    return shuffled


def test_the_pixels_of_each_window_are_put_in_the_order_of_their_keys():
    torch.manual_seed(0)
    image, keys = torch.rand(5, 2, 13, 10), torch.rand(5, 130)
    window = torch.tensor([[1, 1], [3, 2], [4, 4], [2, 5], [13, 10]])
    offset = torch.tensor([[0, 0], [2, 1], [0, 3], [1, 4], [0, 0]])
    shuffled = local_shuffle(image, window, offset, keys)
    assert torch.equal(shuffled, one_by_one(image, window, offset, keys))
    assert torch.equal(shuffled[0], image[0]), "windows of one pixel"
    assert not torch.equal(shuffled[4], image[4])


def test_no_pixel_is_lost_and_none_leaves_its_window():
    torch.manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    places = torch.stack([rows, columns])[None].repeat(3, 1, 1, 1)
    window, offset = torch.tensor([[4, 3]] * 3), torch.tensor([[1, 2]] * 3)
    moved = local_shuffle(places, window, offset, torch.rand(3, 480))
    for each in moved:
        assert sorted(map(tuple, each.flatten(1).T.tolist())) == sorted(map(tuple, places[0].flatten(1).T.tolist()))
    far = (moved - places).abs().amax(dim=(0, 2, 3))
    assert far.tolist() == [3, 2]
