"""Refuse stacks that cannot show the view that a network was trained on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from planewise.errors import InputError
from planewise.findings import Finding, finding, from_text, said
from planewise.geometry.locations import degrees_off_axis, stack_obliquity
from planewise.geometry.tolerances import NO_ORIENTATION, OFF_AXIS, SHORT_AXIS_OBLIQUITY


class RequireViewd(MapTransform):
    """Refuse stacks of `LoadStackd` that are not recognised as the view, and volumes whose slices cannot be a heart's short
    axis. `planewise segment` refuses the same stacks; a MONAI Label server relies on this transform.

    Args:
        keys: keys of loaded stacks.
        view: the requested view; only ``"sax"`` limits the direction of a volume's slices.
        min_obliquity: see `wrong_direction`, degrees; 0 accepts any stack.
    """

    def __init__(self, keys: KeysCollection, view: str = "sax", min_obliquity: float = SHORT_AXIS_OBLIQUITY) -> None:
        super().__init__(keys)
        self.view = view
        self.min_obliquity = min_obliquity

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            why = from_text(item.get("why_not", "[]"))
            # slices have passed the indexer, which knows their series
            if self.view == "sax" and "slice_affines" not in item:
                why = wrong_direction(item[key].affine[None], self.min_obliquity, straight=True)
            if why and self.min_obliquity > 0:
                raise InputError(
                    f"this is not the view {self.view}: {said(why)}; to take it anyway, set min_obliquity to 0 in "
                    "configs/inference.yaml"
                )
        return item


def wrong_direction(affines: Tensor, min_obliquity: float, straight: bool = False) -> list[Finding]:
    """Why a stack cannot be a heart's short axis by the direction of its slices; empty if it may be one.

    Args:
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.
        min_obliquity: the smallest obliquity of a short axis, degrees; 0 accepts any stack.
        straight: accept slices exactly along the body's axes, because the header may have lost its orientation (ACDC).
    """
    obliquity, across = stack_obliquity(affines)
    if min_obliquity <= 0 or (straight and obliquity < NO_ORIENTATION):
        return []
    if not obliquity >= min_obliquity:
        degrees = round(obliquity, 1)
        return [finding("stack-off-axis", degrees=degrees, plane=across, limit=min_obliquity, kind="not-oblique")]
    if (off_axis := degrees_off_axis(affines)) > OFF_AXIS:
        return [finding("stack-off-axis", degrees=round(off_axis), limit=OFF_AXIS, kind="off-axis")]
    return []
