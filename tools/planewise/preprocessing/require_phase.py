"""A refusal of single images where two phases are wanted."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform

from planewise.errors import InputError


class RequirePhased(Transform):
    """Let only items pass that say which phase of the cycle they are of.

    A MONAI Label server hands over one image, whatever a network takes: this is what it answers then.

    Raises:
        InputError: the item has no ``phase``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if "phase" not in data:
            raise InputError(
                "this bundle takes an exam at end-diastole and at end-systole, and this is one image; run it from the "
                "command line, with a datalist as --input"
            )
        return dict(data)
