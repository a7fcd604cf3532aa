import torch
from planewise.pretexts.paint import in_paint, out_paint


def test_blocks_are_painted_inside_or_outside():
    torch.manual_seed(0)
    image, noise = torch.rand(4, 2, 12, 9), torch.rand(4, 2, 12, 9)
    corners, sizes = torch.randint(0, 8, (4, 3, 2)), torch.randint(0, 6, (4, 3, 2))
    inner, outer = image.clone(), noise.clone()
    for b in range(4):
        for (row, column), (height, width) in zip(corners[b].tolist(), sizes[b].tolist(), strict=True):
            block = (b, slice(None), slice(row, row + height), slice(column, column + width))
            inner[block], outer[block] = noise[block], image[block]
    assert torch.equal(in_paint(image, corners, sizes, noise), inner)
    assert torch.equal(out_paint(image, corners, sizes, noise), outer)
