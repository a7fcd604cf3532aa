"""Refuse single images if a network needs two phases."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform

from planewise.errors import InputError


class RequirePhased(Transform):
    """Accept only items that have a phase.

    A MONAI Label server always passes a single image, even if the network needs two phases. This transform refuses it.

    Raises:
        InputError: the item has no ``phase``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if "phase" not in data:
            raise InputError(
                "this bundle takes an exam at end-diastole and at end-systole, but this is one image; run it from the"
                " command line, with a datalist as --input"
            )
        return dict(data)
