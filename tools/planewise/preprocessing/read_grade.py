"""Read the grade of a photograph as a target."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from planewise.errors import InputError


class ReadGraded(Transform):
    """Write an item's grade under ``grade``, as an int64 tensor without axes.

    Args:
        key: key of the grade in the item; `planewise.data.graded` selects the items that have a grade.

    Raises:
        InputError: the item has no grade. Items from MONAI Label never have one, because it passes only masks.
    """

    def __init__(self, key: str = "grade") -> None:
        self.key = key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.key not in data:
            raise InputError(f"the photograph has no {self.key}, and this bundle learns from grades")
        return {**data, "grade": torch.tensor(int(data[self.key]))}
