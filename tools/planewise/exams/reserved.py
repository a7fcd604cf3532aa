"""Names that a datalist's items use for their own data."""

from __future__ import annotations

from collections.abc import Mapping

#: Keys of an item that are not allowed as names of a class.
RESERVED = {
    "image", "frame", "affine", "planes", "location", "exam", "patient", "stack", "slice", "phase", "label",
    "label_frame", "label_axes", "label_map", "label_origin", "unknown_labels", "time", "shift",
}  # fmt: skip
#: Value of ``label_origin`` for a mask that a network predicted; manual masks have none.
PREDICTED = "predicted"
#: Value of ``label_origin`` for a mask drawn in a viewer of MONAI Label, whose values are the numbers in the server's
#: list of labels.
VIEWER = "viewer"


def is_labelled(item: Mapping[str, object]) -> bool:
    """Whether an item has a mask that counts as a label: a predicted mask is none until a person has checked it."""
    return "label" in item and item.get("label_origin") != PREDICTED
