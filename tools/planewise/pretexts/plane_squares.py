"""Compute the anatomical position of every pixel, as a class, from the image's current affine (Bai 2019)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Transform

from planewise.geometry import end_direction, square_labels, squares_inside, squares_on_lines
from planewise.pretexts.plane_targets import slice_grid


class PlaneSquaresd(Transform):
    """Make nine squares along the lines where two other views cut the slice (Bai 2019, section 2).

    The squares are computed from the affine after all earlier spatial transforms, so they are exact under any augmentation.

    - For an item with ``image``, a `MetaTensor` ``(1, i, j, 1)``, and ``planes`` ``(2, 2, 3)``, it writes ``squares``
      ``(1, i, j, 1)``, ``square_centres`` ``(9, 3)`` and ``square_inside`` ``(9,)``.
    - For a batch with ``image`` ``(B, 1, i, j)``, ``affine`` ``(B, 4, 4)`` and ``planes`` ``(B, 2, 2, 3)``, it writes
      ``squares`` ``(B, i, j)``, ``square_centres`` ``(B, 9, 3)`` and ``square_inside`` ``(B, 9)``.

    ``squares`` is int64: 0 for the background, 1 to 9 for the squares in the order of `SQUARE_STEPS`.
    If a plane is masked (NaN) or the squares are unknown (`squares_on_lines`), the whole slice is -1, which the loss
    ignores. A square outside the image has no pixels. ``square_centres`` are RAS+, mm. ``square_inside`` is bool, and
    true if a square is completely inside the image.

    Args:
        ends: for each of the two views, the first end of its line (`planewise.geometry.end_direction`).
        size: side of a square, mm (the paper: 11 pixels of 1.82 mm).
        step: distance between the centres of neighbouring squares, mm (the paper: 30 pixels).

    Raises:
        ValueError: a setting is invalid, the number of planes is not two, or the image is a volume.
    """

    def __init__(self, ends: Sequence[str], size: float = 20.0, step: float = 55.0) -> None:
        if isinstance(ends, str) or len(ends) != 2:
            raise ValueError(f"ends must be a list of two names, one for each line, got {ends!r}")
        for end in ends:
            end_direction(end)
        if not 0 < size < step:
            raise ValueError(
                f"the size of a square must be above zero and below the step between squares, got {size} and {step} mm"
            )
        self.ends = tuple(ends)
        self.size = float(size)
        self.step = float(step)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = item["planes"]
        single, affine, shape = slice_grid(item, "squares")
        if planes.shape[-3] != 2:
            raise ValueError(f"squares need the planes of two views, got {planes.shape[-3]}")
        squares = squares_on_lines(affine, planes, self.ends, self.step)
        labels = square_labels(squares, affine, shape, self.size)
        item["squares"] = labels[None, ..., None] if single else labels
        item["square_centres"] = squares.centres
        item["square_inside"] = squares_inside(squares, affine, shape, self.size)
        return item
